// What all views make elements, messages and shortcuts with.

import { t } from './words.js'

const SVG = 'http://www.w3.org/2000/svg'
const icons = new URL('icons.svg', import.meta.url).href

/**
 * An element. Attributes: `on…` are listeners, `style` and `dataset` are objects, `true` is an
 * attribute without a value, `false`, null and undefined are left out. Children are nodes, texts,
 * or lists of them; texts are never HTML.
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value === null || value === undefined) continue
    if (name.startsWith('on')) element.addEventListener(name.slice(2).toLowerCase(), value)
    else if (name === 'dataset') Object.assign(element.dataset, value)
    else if (name === 'style') {
      for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text)
    } else element.setAttribute(name, value === true ? '' : value)
  }
  element.append(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false))
  return element
}

/** A picture of icons.svg, which screen readers pass over. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('class', 'icon')
  svg.setAttribute('aria-hidden', 'true')
  const use = document.createElementNS(SVG, 'use')
  use.setAttribute('href', `${icons}#${name}`)
  svg.append(use)
  return svg
}

/** Scroll the box until the element in it is in sight. `scrollIntoView` would also change where the Tab key goes on. */
export function reveal(element, box) {
  const [inner, outer] = [element.getBoundingClientRect(), box.getBoundingClientRect()]
  const beyond = (from, to) => Math.min(0, inner[from] - outer[from]) || Math.max(0, inner[to] - outer[to])
  box.scrollBy(beyond('left', 'right'), beyond('top', 'bottom'))
}

/** The text, cut short after so many characters. */
export function shortened(text, limit = 2000) {
  return text.length > limit ? `${text.slice(0, limit)}…` : text
}

/**
 * A message that goes away by itself, unless it is an error; it replaces the same one. `error` may be a Problem, whose
 * sentence and advice are shown. `action`: {label, run} for a button, such as Undo.
 */
export function toast(text, { kind = 'info', todo = '', action = null, seconds = 6 } = {}) {
  if (text instanceof Error) {
    return toast(text.detail || text.message, { kind: 'error', todo: text.todo })
  }
  const close = () => message.remove()
  const message = el('div', { class: `toast ${kind}`, role: kind === 'error' ? 'alert' : 'status' },
    el('p', {}, shortened(text, 400), todo && el('span', { class: 'todo' }, ` ${shortened(todo, 400)}`)),
    action && el('button', { type: 'button', onclick: () => { close(); action.run() } }, action.label),
    el('button', { type: 'button', class: 'quiet icon', 'aria-label': t('frame.close'), onclick: close },
      icon('close')))
  const place = document.querySelector('dialog[open] .toasts') ?? document.getElementById('toasts')
  for (const each of place.children) if (each.textContent === message.textContent) each.remove()
  place.append(message)
  while (place.children.length > 4) place.firstElementChild.remove()
  if (kind !== 'error') setTimeout(close, seconds * 1000)
  return message
}

/**
 * Asks, in a modal dialog, and gives the `value` of the button pressed; null if it was closed.
 * `body` is a node or text; `actions` are {label, value, kind}; the last is the one for Enter.
 */
export function dialog({ title, body = '', actions = [], wide = false }) {
  return new Promise((resolve) => {
    const buttons = actions.map(({ label, value, kind = '' }, place) => el('button', {
      type: 'submit', class: kind, value, autofocus: place === actions.length - 1,
    }, label))
    const form = el('form', { method: 'dialog' },
      el('header', {}, el('h2', { id: 'dialog-title' }, title),
        el('button', { type: 'button', class: 'quiet icon', 'aria-label': t('frame.close'),
          onclick: () => box.close() }, icon('close'))),
      el('div', { class: 'dialog-body' }, body),
      buttons.length ? el('footer', {}, buttons) : null)
    const box = el('dialog', { class: wide ? 'wide' : '', 'aria-labelledby': 'dialog-title' }, form)
    box.addEventListener('click', (event) => { if (event.target === box) box.close() })
    box.addEventListener('keydown', (event) => { // a browser would press the first button
      if (event.key !== 'Enter' || event.isComposing || !event.target.matches('input, select')) return
      event.preventDefault()
      buttons.at(-1)?.click()
    })
    box.addEventListener('close', () => {
      box.remove()
      resolve(box.returnValue || null)
    })
    document.body.append(box)
    box.showModal()
  })
}

const shortcuts = []

/**
 * Adds shortcuts: {'a': [label, handler], 'Shift+ArrowLeft': […]}; gives a function that removes
 * them. They are off while somebody types or a dialog is open, and listed in the help. A handler
 * that returns false leaves the key to the browser. The newest map that has a key gets it.
 */
export function onKey(map) {
  shortcuts.push(map)
  return () => { shortcuts.splice(shortcuts.indexOf(map), 1) }
}

/** Whether keys belong to a field that the person types in. */
export function isTyping(target) {
  return target instanceof Element
    && target.closest('input:not([type=checkbox],[type=radio],[type=button],[type=range]), textarea, select, [contenteditable]') !== null
}

function nameOf(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
  const isLetter = key.length > 1 || /[a-z0-9]/.test(key)
  return `${event.ctrlKey || event.metaKey ? 'Ctrl+' : ''}${event.altKey ? 'Alt+' : ''}${
    event.shiftKey && isLetter ? 'Shift+' : ''}${key}`
}

document.addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.isComposing || isTyping(event.target)) return
  if (document.querySelector('dialog[open]:not(.keeps-keys)')) return
  if (event.target.type === 'range' && event.key.startsWith('Arrow')) return
  const name = nameOf(event)
  const map = shortcuts.findLast((each) => name in each)
  if (map && map[name][1](event) !== false) event.preventDefault()
})

const KEY_NAMES = {
  ArrowLeft: '←', ArrowRight: '→', ArrowUp: '↑', ArrowDown: '↓', ' ': 'Space', Escape: 'Esc',
}

/** Shows all shortcuts that there are now. */
export function showHelp() {
  const rows = new Map()
  for (const map of shortcuts.toReversed()) {
    for (const [key, [label]] of Object.entries(map)) {
      if (!label || [...rows.values()].flat().includes(key)) continue
      rows.set(label, [...(rows.get(label) ?? []), key])
    }
  }
  const keys = (key) => key.split(/(?<=.)\+(?=.)/).map((part) => KEY_NAMES[part] ?? (part.length === 1 ? part.toUpperCase() : part))
  const list = el('dl', { class: 'keys' }, [...rows].map(([label, names]) => [
    el('dt', {}, names.map((name) => el('kbd', {}, keys(name).join(' + ')))), el('dd', {}, label)]))
  return dialog({ title: t('frame.help_title'), body: list, wide: true })
}

/** A function that runs once the calls have stopped for so many milliseconds. */
export function debounced(call, milliseconds = 250) {
  let timer
  return (...values) => {
    clearTimeout(timer)
    timer = setTimeout(() => call(...values), milliseconds)
  }
}

/** Copies the text, and says so. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text)
    toast(t('frame.copied'), { seconds: 2 })
  } catch { // no permission, or a page without TLS
    const area = el('textarea', { readonly: true, 'aria-label': t('frame.copy_by_hand') })
    area.value = text
    const shown = dialog({ title: t('frame.copy_by_hand'), body: area })
    area.select()
    await shown
  }
}
