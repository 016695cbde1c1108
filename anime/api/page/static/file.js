// One file: large, with all that is known of how it was made.

import { api, withQuery } from './api.js'
import { copy, el, icon, onKey, shortened, toast } from './dom.js'
import { contentOf } from './picture.js'
import { labelOf, moment, size, t, timeOfDay } from './words.js'

const PROXY_PX = 1600
const MOST_CHARACTERS = 4000
const FIRST = ['seed', 'model', 'sampler', 'scheduler', 'steps', 'cfg', 'workflow', 'loras', 'shot', 'character']
const APART = ['prompt', 'negative_prompt', 'graph', 'workflow_graph', 'recipe', 'texts']

const article = document.getElementById('file')
const stage = document.getElementById('stage')
const facts = document.getElementById('facts')
const id = Number(article.dataset.id)
const mayProduce = document.documentElement.dataset.role === 'produce'
const neighbours = JSON.parse(sessionStorage.getItem('library.neighbours') ?? '[]')
const at = neighbours.indexOf(id)

const addressOf = (fileId) => `/library/${fileId}`

function copyButton(text, label) {
  return el('button', {
    type: 'button', class: 'quiet icon', title: t('file.copy'), 'aria-label': t('file.copy_of', { name: label }),
    onclick: () => copy(text),
  }, icon('copy'))
}

/** A text as it was written, the first part of it if it is very long. */
function textBlock(title, text) {
  const block = el('p', { class: 'text', dir: 'auto', tabindex: 0 }, shortened(text, MOST_CHARACTERS))
  return el('section', {}, el('h2', {}, title, copyButton(text, title)), block,
    text.length > MOST_CHARACTERS && el('button', {
      type: 'button', onclick: (event) => { block.textContent = text; event.target.remove() },
    }, t('file.whole_text')))
}

/** One of a list: of a LoRA its name and strength, on the text encoder, too, where that is another. */
function lineOf(value) {
  if (value === null || typeof value !== 'object') return value
  const { name, strength, strength_clip: clip } = value
  if (name && strength != null) return `${name} × ${clip == null || clip === strength ? strength : `${strength} / ${clip}`}`
  return said(value, ' ').map(([key, text]) => `${key.trim()} ${text}`).join('; ')
}

/** Names and texts of all that is said, those of objects within as `server.device`. */
function said(values, prefix = '') {
  return Object.entries(values).flatMap(([name, value]) => {
    if (value === null || value === '' || value?.length === 0 || (!prefix && APART.includes(name))) return []
    if (Array.isArray(value)) return [[prefix + name, value.map(lineOf).join(', ')]]
    return typeof value === 'object' ? said(value, `${prefix}${name}.`) : [[prefix + name, String(value)]]
  })
}

function parameterRows(metadata) {
  const order = ([name]) => FIRST.indexOf(name) + 1 || 99
  return said(metadata).sort((one, other) => order(one) - order(other)).map(([name, text]) => row(labelOf(name), text))
}

function row(name, text, shownAs = text) {
  return [el('dt', {}, shortened(name, 60)), el('dd', { dir: 'auto' }, shortened(shownAs, 300)),
    el('dd', {}, copyButton(text, name))]
}

/** A part that is read when it is first opened. */
function folded(title, fill) {
  const place = el('div')
  const details = el('details', { ontoggle: async () => {
    if (!details.open || place.childNodes.length) return
    try {
      place.append(...[await fill()].flat())
    } catch (fault) {
      toast(fault)
    }
  } }, el('summary', {}, title), place)
  return details
}

function strip(title, tiles) {
  if (tiles.ids.length < 2) return null
  return el('section', {}, el('h2', {}, title), el('div', { class: 'strip' }, tiles.ids.map((each, place) =>
    el('a', { href: addressOf(each), 'aria-current': each === id ? 'true' : null, 'aria-label': t('file.title', { id: each }) },
      el('anime-picture', { 'file-id': each, kind: tiles.kinds[place], colours: tiles.colours[place] || null, alt: '' })))))
}

function showPicture(file) {
  const name = file.filename
  if (file.file_type === 'audio') return stage.append(el('audio', { src: contentOf(id), controls: true, 'aria-label': name }))
  const isLarge = Math.max(file.width ?? 0, file.height ?? 0) > PROXY_PX
  const image = el('img', {
    alt: shortened(String(file.metadata.prompt ?? name), 300), width: file.width, height: file.height,
    onclick: () => zoom(), onerror: () => image.replaceWith(el('p', { class: 'empty', role: 'alert' }, t('picture.gone'))),
  })
  const src = contentOf(id)
  if (file.file_type === 'video') {
    const film = el('video', {
      src, controls: true, loop: true, 'aria-label': name,
      onerror: () => { // no player takes WebP, GIF and APNG
        image.src = src
        film.replaceWith(image)
      },
    })
    return stage.append(film)
  }
  image.src = isLarge ? `/api/anime/files/${id}/proxy` : src
  stage.append(image)
}

/** The original in its own pixels, or all of it again. */
async function zoom() {
  const image = stage.querySelector('img')
  if (!image) return
  const isZoomed = stage.classList.toggle('zoomed')
  if (isZoomed && !image.src.endsWith('/content')) {
    const original = new Image()
    original.src = contentOf(id)
    await original.decode().catch(() => {})
    image.src = original.src
  }
  stage.scrollTo((stage.scrollWidth - stage.clientWidth) / 2, (stage.scrollHeight - stage.clientHeight) / 2)
}

function go(by) {
  const next = neighbours[at + by]
  if (at >= 0 && next) location.replace(addressOf(next))
}

function showSteps() {
  for (const [by, name, sign] of [[-1, 'before', 'left'], [1, 'after', 'right']]) {
    if (at < 0 || !neighbours[at + by]) continue
    stage.append(el('button', {
      type: 'button', class: `step ${name}`, 'aria-label': t(`file.${name}`), title: t(`file.${name}`), onclick: () => go(by),
    }, icon(sign)))
  }
}

async function reproduce() {
  try {
    await api('/reproduce', { method: 'POST', body: { file_id: id } })
    toast(t('file.reproducing'), { kind: 'success', action: { label: t('now.title'), run: () => location.assign('/') } })
  } catch (fault) {
    toast(fault)
  }
}

function actions(file) {
  return el('div', { class: 'toolbar' },
    mayProduce && file.metadata.prompt && el('a', { class: 'button primary', href: withQuery('/make', { from_file: id }) }, t('file.use_settings')),
    mayProduce && el('button', { type: 'button', onclick: reproduce }, icon('retry'), t('file.reproduce')),
    el('a', { class: 'button', href: contentOf(id), download: file.filename }, icon('download'), t('library.download')))
}

async function timeline(jobId) {
  const { entries } = await api(`/jobs/${jobId}/timeline`)
  return el('ol', { class: 'timeline' }, entries.map((entry) => el('li', {},
    el('time', { datetime: entry.at, title: moment(entry.at) }, timeOfDay(entry.at)), el('span', {}, shortened(entry.message, 500)))))
}

function graph(value) {
  const text = JSON.stringify(value, null, 2)
  return [el('p', {}, copyButton(text, t('file.graph'))), el('pre', { tabindex: 0 }, shortened(text, 200_000))]
}

function showFacts(file) {
  const { metadata } = file
  const isThere = file.state === 'present'
  facts.replaceChildren(
    el('header', {}, el('h1', { dir: 'auto' }, shortened(file.filename, 200)),
      !isThere && el('p', {}, el('span', { class: 'badge warn' }, file.state))),
    actions(file),
    ...['prompt', 'negative_prompt'].filter((name) => metadata[name]).map((name) => textBlock(t(`file.${name}`), String(metadata[name]))),
    el('section', {}, el('h2', {}, t('file.parameters')), el('dl', {}, parameterRows(metadata))),
    el('section', {}, el('h2', {}, t('file.file')), el('dl', {},
      row(t('file.made'), file.created_at, moment(file.created_at)),
      file.width && row(t('file.pixels'), `${file.width} × ${file.height}`),
      row(t('file.size'), String(file.file_size), size(file.file_size)),
      row(t('file.path'), file.file_path), file.sha256 && row('SHA-256', file.sha256))),
    ...[metadata.graph && folded(t('file.graph'), () => graph(metadata.graph)),
      file.job_id && folded(t('file.timeline'), () => timeline(file.job_id))].filter(Boolean))
}

async function showRelated(file) {
  const siblings = await api(`/files/${id}/siblings`)
  facts.append(strip(t('file.siblings'), siblings) ?? '')
  const { shot, project } = file.metadata
  if (shot) facts.append(strip(t('file.takes'), await api('/files/tiles', { query: { shot, project, limit: 60 } })) ?? '')
}

onKey({
  ArrowLeft: [t('file.before'), () => { go(-1) }],
  ArrowRight: [t('file.after'), () => { go(1) }],
  z: [t('file.zoom'), () => { zoom() }],
  Escape: [t('file.back'), () => { location.assign('/library') }],
})

try {
  const file = await api(`/files/${id}`)
  showPicture(file)
  showSteps()
  showFacts(file)
  article.removeAttribute('aria-busy')
  await showRelated(file)
} catch (fault) {
  article.removeAttribute('aria-busy')
  if (fault.status === 404) stage.append(el('p', { class: 'empty', role: 'alert' }, fault.detail))
  else toast(fault)
}
