// Fields of a form, made from the JSON schema of a workflow's inputs and what its servers offer.

import { api } from './api.js'
import { el, icon, shortened, toast } from './dom.js'
import { labelOf, t } from './words.js'

const PICTURES = ['image', 'images']
const NUMBERS = ['int', 'float', 'size', 'seconds', 'seed']

export const isPicture = (schema) => PICTURES.includes(schema['x-kind'])

/** The workflow's fields by name, those of `inputs` marked as such; not the prompt and the seed. */
export function fieldsIn(schema) {
  const { inputs, workflow, prompt, seed, ...rest } = schema.properties
  const required = inputs?.required ?? []
  return [
    ...Object.entries(rest).map(([name, each]) => ({ name, schema: each, isOwn: false })),
    ...Object.entries(inputs?.properties ?? {}).map(([name, each]) => (
      { name, schema: each, isOwn: true, isRequired: required.includes(name) })),
  ]
}

/**
 * A field: {element, get, set, setFault}. `get` gives undefined for what is left to the workflow;
 * `offer` is what servers take: {choices, minimum, maximum}.
 */
export function makeField({ name, schema, isRequired }, offer, changed) {
  const kind = schema['x-kind']
  const control = kind === 'image' ? pictureList(schema, 1, changed)
    : kind === 'images' ? pictureList(schema, schema.maxItems ?? 1, changed)
      : kind === 'switch' ? choice(['true', 'false'], schema.default, changed, (value) => t(`make.${value}`))
        : kind === 'choice' && offer?.choices.length ? choice(offer.choices, schema.default, changed)
          : NUMBERS.includes(kind) ? numberInput(kind, schema, offer, changed) : textInput(kind, schema, changed)
  const fault = el('span', { class: 'fault', hidden: true, id: `fault-${name}` })
  const label = el('span', { id: `label-${name}` }, labelOf(name, schema.title), isRequired && ` (${t('make.required')})`)
  const isGroup = PICTURES.includes(kind)
  const element = el(isGroup ? 'div' : 'label', {
    class: `field kind-${kind} name-${name}`, title: schema.description,
    ...(isGroup ? { role: 'group', 'aria-labelledby': `label-${name}` } : {}),
  }, label, control.element, fault)
  control.input?.setAttribute('aria-describedby', `fault-${name}`)
  return {
    element,
    get: control.get,
    set: control.set,
    add: control.add,
    setFault(text = '') {
      fault.textContent = text
      fault.hidden = !text
      control.input?.setAttribute('aria-invalid', String(Boolean(text)))
    },
  }
}

export function textInput(kind, schema, changed) {
  const input = el(kind === 'text' ? 'textarea' : 'input', {
    placeholder: shortened(String(schema.default ?? ''), 300), rows: 2, dir: 'auto', oninput: changed,
  })
  return { element: input, input, get: () => input.value || undefined, set: (value) => { input.value = value ?? '' } }
}

function numberInput(kind, schema, offer, changed) {
  const least = schema.minimum ?? offer?.minimum
  const most = schema.maximum ?? offer?.maximum
  const step = kind === 'size' ? schema.multipleOf ?? 8 : kind === 'int' ? 1 : 'any'
  const input = el('input', { type: 'number', min: least, max: most, step, placeholder: schema.default, oninput: changed })
  return {
    element: input, input,
    get: () => (input.value === '' ? undefined : Number(input.value)),
    set: (value) => { input.value = value ?? '' },
  }
}

export function choice(values, preset, changed, nameOf = (value) => value) {
  const first = preset === undefined || preset === null || preset === ''
    ? t('make.default') : t('make.default_is', { value: nameOf(String(preset)) })
  const input = el('select', { onchange: changed }, el('option', { value: '' }, first),
    values.map((value) => el('option', { value }, nameOf(value))))
  const isSwitch = typeof preset === 'boolean'
  return {
    element: input, input,
    get: () => (input.value === '' ? undefined : isSwitch ? input.value === 'true' : input.value),
    set(value) {
      const text = String(value ?? '')
      if (text && ![...input.options].some((each) => each.value === text)) {
        input.append(el('option', { value: text }, t('make.not_offered', { value: shortened(text, 120) })))
      }
      input.value = text
    },
  }
}

/** Uploads a file as it is, and gives the answer. */
export const sendFile = (path, file) => api(path, { method: 'POST', body: file,
  query: { name: file.name?.slice(0, 100) }, headers: { 'Content-Type': file.type || 'application/octet-stream' } })

const addressOf = (name) => (/^\.inputs\/[0-9a-f]{64}\.\w+$/.test(name)
  ? `/api/anime/inputs/${name.slice(8)}/content` : null)

/** Pictures in their order, at most so many; a file is dropped on them or chosen. */
function pictureList(schema, most, changed) {
  const isList = schema['x-kind'] === 'images'
  const roles = schema['x-roles'] ?? []
  const list = el('ul', { class: 'wells' })
  let names = []

  const show = () => {
    const wells = names.map((name, place) => {
      const address = addressOf(name)
      return el('li', { class: 'well' },
        address ? el('img', { src: address, alt: roles[place] || t('make.picture') }) : el('span', { dir: 'auto' }, name),
        el('button', { type: 'button', class: 'icon', 'aria-label': t('make.remove'), title: t('make.remove'),
          onclick: () => put(names.filter((_, other) => other !== place)) }, icon('close')))
    })
    if (names.length < most) wells.push(emptyWell(roles[names.length]))
    list.replaceChildren(...wells)
  }
  const put = (wanted) => {
    names = wanted.slice(0, most)
    show()
    changed()
  }
  const add = async (files) => {
    try {
      for (const file of files) {
        const { name } = await sendFile('/inputs/upload', file)
        put([...(names.length < most ? names : names.slice(0, -1)), name])
      }
    } catch (fault) {
      toast(fault)
    }
  }
  const emptyWell = (role) => {
    const input = el('input', { type: 'file', accept: 'image/*', multiple: most > 1, class: 'unseen',
      'aria-label': role || t('make.choose_picture'), onchange: () => add([...input.files]) })
    const well = el('li', { class: 'well empty-well' }, el('label', {}, icon('image'), el('span', {}, role || t('make.choose_picture')), input))
    well.addEventListener('drop', (event) => {
      if (!event.dataTransfer.files.length) return
      event.preventDefault()
      event.stopPropagation()
      document.dispatchEvent(new Event('dropped'))
      add([...event.dataTransfer.files])
    })
    return well
  }
  show()
  return {
    element: list,
    get: () => (names.length ? (isList ? names : names[0]) : undefined),
    set: (value) => { names = [value ?? []].flat().filter((each) => typeof each === 'string').slice(0, most); show() },
    add,
  }
}
