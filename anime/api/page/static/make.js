// The view Make: a form for the chosen workflow, what it would become, and what came of it.

import { api } from './api.js'
import { debounced, el, icon, onKey, shortened, toast } from './dom.js'
import { choice, fieldsIn, isPicture, makeField, sendFile, textInput } from './form.js'
import { cancelButton, fileLink, frame, hasEnded, keyed, mayProduce, setText } from './jobs.js'
import { live } from './live.js'
import './picture.js'
import { onQuery, readQuery, writeQuery } from './query.js'
import { labelOf, number, t } from './words.js'

const MOST = 200 // requests of one press of the button
const AT_A_TIME = 4
const MANY = 8 // with more, they go behind what people wait for
const BEHIND = 40
const SENT_PROMPT = 1500 // characters of a prompt that an address may hold
const KEPT_JOBS = 24
const PLAIN = ['project', 'shot']
const DRAFT = 'anime.make'
const MADE = 'anime.made'
const MAX_SEED = 2n ** 64n - 1n

const $ = (id) => document.getElementById(id)
const form = $('form')
const records = new Map() // workflows by name
let fields = new Map() // of the chosen workflow, by name
let other = {} // of a request that is used again, what the form has no field for
let workflows = []
let offers = null
let isChosen = false // the workflow, by a person: then a style changes it no more

// The workflow decides which fields there are; what was filled in stays where it has a place.

async function recordOf(name) {
  if (!records.has(name)) records.set(name, await api(`/workflows/${encodeURIComponent(name)}`))
  return records.get(name)
}

async function chooseWorkflow(name, values = null) {
  const kept = values ?? filledIn()
  $('workflow').value = name
  const record = await recordOf(name).catch(toast)
  if (!record.inputs || $('workflow').value !== name) return
  offers = null
  build(record, kept)
  api(`/workflows/${encodeURIComponent(name)}/offers`).then((found) => {
    if ($('workflow').value !== name) return
    offers = found
    build(record, filledIn())
  }, () => {})
}

function build(record, values) {
  setText($('description'), record.description)
  const focused = document.activeElement?.closest('.field')?.querySelector('[id^="label-"]')?.id
  fields = new Map(fieldsIn(record.inputs).map((each) => {
    const old = fields.get(each.name) // pictures may be on their way to it
    const isSame = isPicture(each.schema) && old?.schema === each.schema
    return [each.name, isSame ? old : { ...each, ...makeField(each, offers?.inputs[each.name], changed) }]
  }))
  for (const name of ['pictures', 'fields']) $(name).replaceChildren()
  for (const each of fields.values()) $(isPicture(each.schema) ? 'pictures' : 'fields').append(each.element)
  $('loras').hidden = !record.takes_loras
  $('unchecked').replaceChildren(...(offers?.unchecked ?? []).map((text) => el('li', {}, text)))
  fill(values)
  if (focused) $(focused)?.parentElement.querySelector('input, select, textarea')?.focus()
}

// The form's values, as the fields of a request; and back.

/** Project, shot and characters, as far as they are filled in. */
function names() {
  const values = {}
  for (const name of PLAIN) if ($(name).value.trim()) values[name] = $(name).value.trim()
  const characters = $('character').value.split(',').map((each) => each.trim()).filter(Boolean)
  if (characters.length) values.characters = characters
  return values
}

function fillNames(values) {
  for (const name of PLAIN) $(name).value = values[name] ?? ''
  $('character').value = (values.characters?.length ? values.characters : [values.character ?? '']).join(', ')
}

const isUsable = (name) => workflows.some((each) => each.name === name && !each.fault)

function filledIn() {
  const values = { ...other, inputs: { ...other.inputs } }
  for (const { name, isOwn, get } of fields.values()) {
    const value = get()
    if (value === undefined) continue
    if (isOwn) values.inputs[name] = value
    else values[name] = value
  }
  Object.assign(values, names())
  const loras = readLoras()
  if (loras.length && !$('loras').hidden) values.loras = loras
  return values
}

function fill(values) {
  other = {}
  const pictures = Object.values(values.inputs ?? {}).flat().filter((each) => String(each).startsWith('.inputs/'))
  for (const field of fields.values()) {
    const value = (field.isOwn ? values.inputs : values)?.[field.name]
    field.set(value ?? (isPicture(field.schema) ? pictures : undefined))
  }
  showLoras(values.loras ?? [])
  for (const name of ['priority', 'server', 'required_vram_mb']) if (values[name] !== undefined) other[name] = values[name]
  show()
}

function requests() {
  const base = { ...filledIn(), workflow: $('workflow').value }
  if (workflows.find((each) => each.name === base.workflow)?.output === 'video') base.type = 'video'
  if (!Object.keys(base.inputs).length) delete base.inputs
  const seeds = seedsOf($('seeds').value)
  const made = prompts().flatMap((prompt) => seeds.map((seed) => ({ ...base, prompt, ...seed })))
  return made.length > MANY ? made.map((each) => ({ priority: BEHIND, ...each })) : made
}

function prompts() {
  const text = $('prompt').value
  const lines = text.split('\n').filter((each) => each.trim())
  return $('lines').checked ? lines : lines.length ? [text] : []
}

/** A list with ranges, as texts, for they may be larger than a number can be; raises Error. */
function seedsOf(text) {
  const parts = text.split(/[\s,]+/).filter(Boolean)
  if (!parts.length) return takes() === 1 ? [{}] : Array.from({ length: takes() }, () => ({ seed: randomSeed() }))
  return parts.flatMap((part) => {
    const found = /^(\d{1,20})(?:-(\d{1,20}))?$/.exec(part)
    const [first, last] = found ? [BigInt(found[1]), BigInt(found[2] ?? found[1])] : [1n, 0n]
    if (last > MAX_SEED || first > last) throw new Error(t('make.no_seed', { text: shortened(part, 40) }))
    if (last - first >= MOST) throw new Error(t('make.too_many', { most: MOST }))
    return Array.from({ length: Number(last - first) + 1 }, (_, at) => ({ seed: String(first + BigInt(at)) }))
  })
}

const takes = () => Math.min(MOST, Math.max(1, Math.floor(Number($('takes').value)) || 1))
const randomSeed = () => crypto.getRandomValues(new BigUint64Array(1))[0].toString()

// LoRAs

function readLoras() {
  return [...$('lora-rows').children].map((row) => row.read()).filter((each) => each.name)
}

function showLoras(loras) {
  $('lora-rows').replaceChildren(...loras.map(loraRow))
}

function loraRow({ name = '', strength = 1 }) {
  const known = offers?.loras ?? []
  const names = known.length ? choice(known, '', changed) : textInput('', {}, changed)
  names.input.setAttribute('aria-label', t('make.lora'))
  if (known.length) names.input.options[0].text = t('make.lora')
  names.set(name)
  const amountOf = el('input', { type: 'number', step: 0.05, min: -10, max: 10, 'aria-label': t('make.strength'), oninput: changed })
  amountOf.value = strength
  const row = el('li', {}, names.element, amountOf, el('button', { type: 'button', class: 'quiet icon', 'aria-label': t('make.remove'),
    onclick: () => { row.remove(); changed() } }, icon('close')))
  row.read = () => ({ name: names.get(), strength: Number(amountOf.value) })
  return row
}

$('add-lora').addEventListener('click', () => {
  $('lora-rows').append(loraRow({}))
  $('lora-rows').lastElementChild.querySelector('select, input').focus()
})

// Whatever changes is counted, kept in the address and the tab, and explained.

function changed() {
  unsent = [] // it is of a request that nobody wants any more
  show()
  keep()
  explain()
}

function show() {
  let count = 0
  let text = ''
  let fault = ''
  try {
    const [lines, seeds] = [prompts().length, seedsOf($('seeds').value).length]
    count = lines * seeds
    if (count > 1) text = t('make.product', { prompts: number(lines), seeds: number(seeds), count: number(count) })
    if (count > MOST) fault = t('make.too_many', { most: MOST })
  } catch (wrong) {
    fault = wrong.message
  }
  setFault('seeds', fault)
  setText($('amount'), text)
  $('takes').disabled = $('seeds').value.trim() !== ''
  if ($('submit')) $('submit').disabled = !count || fault || sending
}

function setFault(name, text) {
  const note = $(`${name}-fault`)
  if (!note) return fields.get(name)?.setFault(text)
  note.hidden = !text
  setText(note, text)
  $(name).setAttribute('aria-invalid', String(Boolean(text)))
  return undefined
}

const keep = debounced(() => {
  const prompt = $('prompt').value
  writeQuery({
    workflow: isChosen ? $('workflow').value : '', project: $('project').value, shot: $('shot').value,
    character: $('character').value, prompt: prompt.length <= SENT_PROMPT ? prompt : '',
    from_file: '', from_job: '', picture: '',
  }, { replace: true })
  const draft = { workflow: isChosen ? $('workflow').value : '', values: filledIn(), ...texts() }
  sessionStorage.setItem(DRAFT, JSON.stringify(draft))
}, 400)

const texts = () => ({
  prompt: $('prompt').value, seeds: $('seeds').value, takes: $('takes').value, lines: $('lines').checked,
})

let asking = null

const explain = debounced(async () => {
  asking?.abort()
  asking = new AbortController()
  let first
  try {
    [first] = requests()
  } catch {
    return
  }
  if (!first?.prompt.trim()) return
  try {
    showComposition(await api('/compose', { method: 'POST', body: first, signal: asking.signal }))
    showProblem(null)
  } catch (fault) {
    if (fault.name === 'AbortError') return
    $('explained').replaceChildren(el('p', { class: 'fault' }, fault.detail), el('p', { class: 'hint' }, fault.todo))
    showProblem(fault, { isQuiet: true })
  }
}, 600)

function showComposition(composition) {
  const { fragments, conflicts, warnings, request } = composition
  const isPlain = composition.style_version === null && !Object.keys(composition.character_versions).length
  const notes = [...conflicts.map((text) => ['compare', text]), ...warnings.map((text) => ['warning', text])]
  const added = new Set(fragments.filter((each) => each.source !== 'request').map((each) => each.field))
  const byField = [...added].map((field) => [field, fragments.filter((each) => each.field === field)])
  $('explained').replaceChildren(
    isPlain ? el('p', { class: 'hint' }, t('make.plain')) : '',
    el('p', { class: 'whole-prompt', dir: 'auto' }, shortened(request.prompt, 4000)),
    ...byField.map(([field, parts]) => el('div', {}, el('h3', {}, labelOf(field)),
      el('ul', { class: 'fragments' }, parts.map((part) => el('li', {},
        el('span', { dir: 'auto' }, shortened(part.text, 600)), el('span', { class: 'badge' }, part.source)))))),
    notes.length ? el('ul', { class: 'notes' }, notes.map(([picture, text]) => el('li', {}, icon(picture), el('span', {}, text)))) : '',
  )
}

function showProblem(fault, { isQuiet = false } = {}) {
  for (const name of ['prompt', ...fields.keys()]) setFault(name, '')
  for (const { field, message } of fault?.errors ?? []) setFault(field.split('.').pop(), message)
  $('problem').replaceChildren(...(fault && !isQuiet
    ? [el('p', { class: 'fault' }, fault.detail, ' ', el('span', { class: 'quiet-text' }, fault.todo))] : []))
}

// Sending: each request once, whatever becomes of the answer. What was not sent is sent again.

let sending = false
let unsent = []

async function submit() {
  if (sending || !mayProduce) return
  if (!unsent.length) {
    try {
      const key = `page-${randomSeed()}-${randomSeed()}`
      unsent = requests().map((request, at) => ({ request, key: `${key}-${at}` }))
    } catch (fault) {
      setFault('seeds', fault.message)
      return
    }
  }
  if (!unsent.length || unsent.length > MOST) {
    unsent = []
    return
  }
  sending = true
  show()
  const asked = unsent.length
  let refused = null
  const send = async () => {
    while (unsent.length && !refused) {
      const next = unsent.shift()
      try {
        const { job_id: id } = await api('/generate', { method: 'POST', body: next.request, headers: { 'Idempotency-Key': next.key } })
        follow(id, next.request.prompt)
      } catch (fault) {
        refused = fault
        unsent.unshift(next)
      }
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, send))
  sending = false
  show()
  if (document.activeElement === document.body) $('submit').focus() // which it loses while it is off
  if (!refused) {
    showProblem(null)
    return
  }
  showProblem(refused)
  const canWait = refused.status === 0 || refused.status === 429 || refused.status >= 500
  if (!canWait) {
    unsent = []
    return
  }
  $('problem').append(el('p', { class: 'toolbar' }, el('span', {}, t('make.sent', { sent: asked - unsent.length, count: asked })),
    el('button', { type: 'button', onclick: submit }, t('make.send_rest')),
    el('button', { type: 'button', class: 'quiet', onclick: () => { unsent = []; showProblem(null) } }, t('make.drop_rest'))))
}

// What came of it: previews, then the pictures.

const made = new Map() // job id → job as it is shown

function follow(id, prompt, { isOld = false } = {}) {
  made.set(id, { id, prompt, status: 'queued', progress: 0, message: '', files: null })
  if (!isOld) {
    while (made.size > MOST) forget(made.values().next().value)
    sessionStorage.setItem(MADE, JSON.stringify([...made.values()].slice(-KEPT_JOBS).map((job) => [job.id, shortened(job.prompt, 300)])))
  }
  showMade()
  const job = made.get(id)
  job.end = live.subscribe(id, ({ type, data }) => {
    if (type === 'preview') return $('made').querySelector(`[data-id="${id}"]`)?.preview(data)
    Object.assign(job, { status: data.status, progress: Number(data.progress), message: data.error || data.message || '' })
    if (hasEnded(job)) {
      job.end()
      if (job.status === 'completed') readFiles(job)
    }
    return showMade()
  }, { previews: true })
}

/** One connection follows only so many. */
function forget(job) {
  job.end()
  made.delete(job.id)
}

async function readFiles(job) {
  try {
    job.files = (await api('/files', { query: { job: job.id, limit: 64 } })).items
  } catch (fault) {
    toast(fault)
  }
  showMade()
}

function showMade() {
  keyed($('made'), [...made.values()].reverse(), madeCard, t('make.nothing_made'))
}

function madeCard(job) {
  const place = frame()
  const bar = el('progress', { max: 100, 'aria-label': t('make.progress') })
  const message = el('p', { class: 'message' })
  const stop = cancelButton(job.id, () => {})
  const element = el('li', { class: 'card' }, place, el('div', { class: 'card-body' },
    el('a', { class: 'prompt', dir: 'auto', href: `/?job=${job.id}` }, shortened(job.prompt, 300)), message, bar, stop))
  element.update = (newer) => {
    const isOver = hasEnded(newer)
    bar.hidden = isOver
    if (stop) stop.hidden = isOver || newer.status === 'cancelling'
    bar.value = newer.progress
    message.classList.toggle('fault', newer.status === 'failed')
    setText(message, newer.status === 'completed' ? '' : newer.message || t(`jobs.status.${newer.status}`))
    if (newer.files?.length && !place.classList.contains('has-files')) {
      place.classList.add('has-files')
      place.replaceChildren(el('ul', { class: `latest ${newer.files.length === 1 ? 'single' : ''}` }, newer.files.map(fileLink)))
    }
  }
  element.preview = (data) => place.classList.contains('has-files') || place.preview(data)
  return element
}

// Settings that are used again, and files that are dropped.

async function use(found, said) {
  const { request } = found
  const name = isUsable(request.workflow) ? request.workflow
    : request.type === 'video' ? 'animation' : 'txt2img'
  $('prompt').value = request.prompt ?? ''
  $('lines').checked = false
  $('seeds').value = request.seed ?? ''
  isChosen = true
  fillNames(request)
  await chooseWorkflow(name, request)
  const lost = [...found.left_out, ...Object.keys(request.inputs ?? {}).filter((each) => !fields.has(each))]
  $('source').hidden = false
  $('source').replaceChildren(said, lost.length ? el('span', { class: 'quiet-text' }, ` ${t('make.left_out', { names: lost.join(' ') })}`) : '')
  explain()
}

async function useFrom(path, words) {
  try {
    await use(await api(path), words)
  } catch (fault) {
    toast(fault)
  }
}

/** A file opens its recipe; one that has none is a picture to start from. */
async function open(file) {
  try {
    const found = await sendFile('/recipes/upload', file)
    if (!found.request.prompt) return await startFrom([file])
    await use(found, t('make.of_upload', { name: shortened(file.name, 60), source: found.source }))
    return toast(t('make.opened'), { action: { label: t('make.start_from'), run: () => startFrom([file]) } })
  } catch (fault) {
    return toast(fault)
  }
}

/** Puts files where the workflow takes pictures, or a workflow that does so is chosen. */
async function startFrom(files) {
  const takesPictures = () => [...fields.values()].find((each) => isPicture(each.schema))
  if (!takesPictures()) {
    const all = await Promise.all(workflows.filter((each) => !each.fault).map((each) => recordOf(each.name)))
    const fitting = all.filter((each) => fieldsIn(each.inputs).some((field) => isPicture(field.schema)))
    const next = fitting.find((each) => each.name === 'img2img') ?? fitting[0]
    if (!next) {
      toast(t('make.no_picture_workflow'), { kind: 'error' })
      return
    }
    isChosen = true
    await chooseWorkflow(next.name)
  }
  await takesPictures()?.add(files)
}

async function startFromFile(id) {
  try {
    const answer = await fetch(`/api/anime/files/${encodeURIComponent(id)}/content`)
    if (answer.ok) await startFrom([await answer.blob()])
    else toast((await answer.json()).detail, { kind: 'error' })
  } catch (fault) {
    toast(fault)
  }
}

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files')
const dropped = () => { $('drop-hint').hidden = true }
document.addEventListener('dragleave', (event) => event.relatedTarget || dropped())
document.addEventListener('dragover', (event) => {
  if (!hasFiles(event)) return
  event.preventDefault()
  $('drop-hint').hidden = false
})
document.addEventListener('dropped', dropped)
document.addEventListener('drop', (event) => {
  if (!hasFiles(event)) return
  event.preventDefault()
  dropped()
  if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0])
})
document.addEventListener('paste', (event) => {
  const [file] = event.clipboardData?.files ?? []
  if (file) open(file)
})
$('open').addEventListener('click', () => {
  const input = el('input', { type: 'file', accept: 'image/*,video/*,audio/*', onchange: () => open(input.files[0]) })
  input.click()
})
$('clear').addEventListener('click', () => {
  fillTexts({ values: {} })
  isChosen = false
  $('source').hidden = true
  fill({})
  $('explained').replaceChildren(el('p', { class: 'hint' }, t('make.explained_hint')))
  keep()
  $('prompt').focus()
})

// Names that are known: projects, their characters and shots.

const listed = (id, known) => $(id).replaceChildren(...known.map(([value, label]) => el('option', { value, label })))
let projects = []
let shots = new Map()

const readNames = debounced(async () => {
  const name = $('project').value.trim()
  const slug = projects.find((each) => each.name === name || each.slug === name)?.slug
  const characters = await api('/characters', { query: { project: slug, limit: 200 } }).catch(() => ({ items: [] }))
  listed('characters', characters.items.map((each) => [each.name]))
  if (slug) takeWorkflowOf(slug)
  const found = slug ? await api('/shots', { query: { project: slug, limit: 200 } }).catch(() => ({ items: [] })) : { items: [] }
  shots = new Map(found.items.map((each) => [each.code, each]))
  listed('shots', found.items.map((each) => [each.code, shortened(each.prompt || each.description || '', 80)]))
}, 300)

/** What a project's style is made with is what its pictures are made with. */
async function takeWorkflowOf(slug) {
  const found = await api(`/projects/${slug}/style`).catch(() => null) // it may have none
  const name = found?.style.workflow
  if (!name || isChosen || name === $('workflow').value) return
  if (isUsable(name)) await chooseWorkflow(name)
  changed()
}

$('project').addEventListener('input', readNames)
$('shot').addEventListener('change', () => {
  const shot = shots.get($('shot').value)
  if (shot?.prompt && !$('prompt').value.trim()) {
    $('prompt').value = shot.prompt
    changed()
  }
})

// From here on it is used.

$('workflow').addEventListener('change', () => {
  isChosen = true
  chooseWorkflow($('workflow').value).then(changed)
})
for (const name of ['prompt', 'lines', 'seeds', 'takes', ...PLAIN, 'character']) $(name).addEventListener('input', changed)
form.addEventListener('submit', (event) => {
  event.preventDefault()
  submit()
})
form.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) submit()
})
if (mayProduce) onKey({ 'Ctrl+Enter': [t('make.submit'), () => { submit() }] })

/** What the address says, else what was left in this tab; nothing if it names a source. */
function wanted() {
  const query = readQuery()
  const isSourced = query.from_file || query.from_job
  const draft = isSourced ? {} : JSON.parse(sessionStorage.getItem(DRAFT) ?? '{}')
  const values = { ...draft.values }
  for (const name of PLAIN) if (query[name]) values[name] = query[name]
  if (query.character) values.characters = query.character.split(',').map((each) => each.trim())
  return { ...draft, ...query, values }
}

function fillTexts({ prompt = '', seeds = '', takes: count = 1, lines = false, values }) {
  $('prompt').value = prompt
  $('seeds').value = seeds
  $('takes').value = count
  $('lines').checked = lines
  fillNames(values)
}

async function begin({ workflow, values, ...query }) {
  isChosen = isUsable(workflow)
  await chooseWorkflow(isChosen ? workflow : 'txt2img', values)
  const { from_file: file, from_job: job } = query
  if (file) await useFrom(`/files/${encodeURIComponent(file)}/request`, t('make.of_file', { id: file }))
  if (job) await useFrom(`/jobs/${encodeURIComponent(job)}/request`, t('make.of_job', { id: job.slice(0, 8) }))
  if (query.picture) await startFromFile(query.picture)
  readNames()
  show()
  explain()
}

async function start() {
  showMade()
  try {
    const [known, named] = await Promise.all([api('/workflows'), api('/projects', { query: { limit: 200 } })])
    workflows = known.items
    projects = named.items
  } catch (fault) {
    showProblem(fault)
    return
  }
  listed('projects', projects.map((each) => [each.name]))
  $('workflow').replaceChildren(...['image', 'video', 'audio', '3d', null].map((output) => {
    const these = workflows.filter((each) => (each.output ?? null) === output)
    return these.length ? el('optgroup', { label: output ? t(`make.output.${output}`) : t('make.broken') },
      these.map((each) => el('option', { value: each.name, disabled: Boolean(each.fault), title: each.fault },
        each.title ? `${each.title} (${each.name})` : each.name))) : null
  }).filter(Boolean))
  await begin(wanted())
  for (const [id, prompt] of JSON.parse(sessionStorage.getItem(MADE) ?? '[]')) follow(id, prompt, { isOld: true })
}

onQuery(() => {
  fillTexts(wanted())
  begin(wanted())
})
if (!$('prompt').value) fillTexts(wanted()) // whoever was quick has typed already
start()
