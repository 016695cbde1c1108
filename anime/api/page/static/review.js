// One shot's takes in full size: what they are worth is said by a key or a press.

import { Animatic } from './animatic.js'
import { api, withQuery } from './api.js'
import { copy, dialog, el, icon, onKey, reveal, shortened, toast } from './dom.js'
import { onQuery, readQuery, writeQuery } from './query.js'
import { bestTake, chosenProject, fits, listProjects, ShotData, stateBadge, takeFace, verdictIcon, verdictOf } from './shot_data.js'
import { Stage } from './stage.js'
import { labelOf, moment, number, t } from './words.js'

const MODES = ['side', 'wipe', 'difference']
const AHEAD_SHOTS = 3 // whose best takes are loaded ahead
const WORDS_AFTER_MS = 40
const KEPT_NAME = 'anime_reviewer'
const MOST_GAIN = 15 // times that a difference is made brighter, besides once
const STEP = 0.02 // of the picture, that a key moves a point
const DETAILS = ['model', 'seed', 'steps', 'cfg', 'sampler', 'scheduler', 'workflow']

const at = (id) => document.getElementById(id)
const page = at('review')
const mayReview = document.documentElement.dataset.role !== 'view'
const stage = new Stage(at('stage'))
const files = new Map() // file id → promise of all that is known of it
const compared = new Map() // two file ids → promise of how they differ
const done = [] // reviews of this visit, for undoing: {shot, take}

let data = null
let sequence = [] // codes, as they were when the filter was set
let shot = null
let take = null
let other = null // the take that is compared
let asked = 0
let animatic = null
let draft = null // the note that is being written: {point}

const filters = () => {
  const { episode, character, state } = readQuery()
  return { episode, character, state }
}
const takesNow = () => (shot && data.takes(shot.code)) ?? []

// ---- what is shown

/** Shows what the address says. */
async function present() {
  const ask = ++asked
  const query = readQuery()
  const code = query.shot ?? sequence[0]
  if (!code) return showNothing(data.isComplete ? t('review.no_shots') : '')
  let takes = data.takes(code)
  takes ??= await data.readTakes(code)
  if (ask !== asked) return undefined
  if (code !== shot?.code) leaveNote()
  shot = data.shot(code) ?? { code, characters: [] }
  take = takes.find((each) => each.number === Number(query.take)) ?? bestTake(takes) ?? takes[0] ?? null
  other = MODES.includes(query.mode) ? takes.find((each) => each.number === Number(query.with)) ?? otherThan(take, takes) : null
  showNothing(take ? '' : t('review.no_takes'))
  stage.setMode(other ? query.mode : 'single')
  const showing = Promise.all([stage.show(0, take), stage.show(1, other)])
  // A picture that is there comes first; of one that must be loaded, the words do not wait.
  await Promise.race([showing, new Promise((resolve) => { setTimeout(resolve, WORDS_AFTER_MS) })])
  if (ask !== asked) return undefined
  draw()
  await showing
  if (ask !== asked || !take) return undefined
  drawPoints()
  preload()
  return undefined
}

/** What a take is compared with unless somebody says: the picked one, else the one beside it. */
function otherThan(one, takes) {
  const others = takes.filter((each) => each.number !== one?.number) // they may have been read anew
  return others.find((each) => each.is_picked) ?? others.findLast((each) => each.number < one?.number) ?? others[0] ?? null
}

function showNothing(text) {
  at('nothing').hidden = !text
  at('nothing').textContent = text
  for (const button of document.querySelectorAll('#actions button, #compare, #play')) button.disabled = Boolean(text)
}

/** Loads what is likely to be looked at next: the shot's other takes, then the next shots' best. */
function preload() {
  stage.preload(takesNow().filter((each) => each !== take).slice(0, 12))
  if (other) stage.preload(takesNow().filter((each) => each !== other).slice(0, 9), 1)
  const place = sequence.indexOf(shot.code)
  const near = [...sequence.slice(place + 1, place + 1 + AHEAD_SHOTS), sequence[place - 1]].filter(Boolean)
  data.wantTakes(near).then(() => {
    stage.preload(near.map((code) => bestTake(data.takes(code) ?? [])).filter(Boolean))
  })
}

/** Goes on to what the changes of the address say. */
function go(changes, options) {
  writeQuery(changes, options)
  return present().catch(toast)
}

const toShot = (code, number) => go({ shot: code, take: number, with: null })
const toTake = (number) => go({ take: number }, { replace: true })

function stepShot(step) {
  if (animatic) return animatic.step(step)
  const next = sequence[sequence.indexOf(shot?.code) + step]
  if (next) return toShot(next, null)
  return announce(t(step > 0 ? 'review.last_shot' : 'review.first_shot'))
}

function stepTake(step) {
  const takes = takesNow()
  const next = takes[takes.indexOf(take) + step]
  if (next) toTake(next.number)
}

function announce(text) {
  at('said').textContent = text
}

// ---- drawing

function draw() {
  drawHead()
  drawStrip()
  drawTake()
  drawShot()
  drawCompare()
}

function drawHead() {
  const place = sequence.indexOf(shot.code)
  at('shot-name').textContent = shot.code
  at('shot-state').replaceChildren(...(shot.state ? [stateBadge(shot.state)] : []))
  at('shot-place').textContent = place < 0 ? '' : t('review.place', { place: number(place + 1), count: number(sequence.length) })
  at('previous').disabled = place <= 0
  at('next').disabled = place < 0 || place >= sequence.length - 1
  at('leave').href = withQuery('/shots', { project: data.project.slug, ...filters() })
  document.title = `${shot.code} · ${document.title.split(' · ').slice(-1)}`
}

function drawStrip() {
  const strip = at('take-strip')
  const takes = takesNow()
  const drawn = JSON.stringify(takes.map((each) => [each.file_id, verdictOf(each), each.notes.length]))
  if (strip.dataset.drawn !== drawn) {
    const focused = strip.contains(document.activeElement)
    strip.dataset.drawn = drawn
    strip.replaceChildren(...takes.map(takeButton))
    if (focused) strip.querySelector(`[data-take='${take?.number}']`)?.focus()
  }
  for (const button of strip.children) {
    const number = Number(button.dataset.take)
    button.ariaCurrent = number === take?.number ? 'true' : null
    button.toggleAttribute('data-compared', number === other?.number)
  }
  const current = strip.querySelector('[aria-current]')
  if (current) reveal(current, strip)
}

const takeButton = (each) => takeFace(each, 'button', {
  type: 'button', dataset: { take: each.number },
  onclick: (event) => (event.shiftKey && other ? go({ with: each.number }, { replace: true }) : toTake(each.number)),
})

function drawTake() {
  for (const button of document.querySelectorAll('#actions button')) button.disabled = !take
  if (!take) return at('take-about').replaceChildren()
  const verdict = verdictOf(take)
  const details = el('dl', { class: 'details' })
  const prompt = el('p', { class: 'prompt' })
  at('take-about').replaceChildren(...[
    el('h3', {}, t('review.take', { number: take.number }), ' ',
      el('span', { class: `badge ${{ picked: 'good', approved: 'good', rejected: 'bad' }[verdict] ?? ''}` },
        verdictIcon(take), t(`shots.verdict.${verdict}`))),
    take.reason && el('p', {}, take.reason),
    take.reviewed_by && el('p', { class: 'hint' }, t('review.said_by', { name: take.reviewed_by, when: moment(take.reviewed_at) })),
    take.retake_job_id && el('p', { class: 'hint' }, t('review.retake_comes')),
    el('ol', { class: 'notes' }, take.notes.map((note, place) => el('li', { value: place + 1 },
      el('p', {}, shortened(note.text)),
      el('small', {}, [note.by, moment(note.at), !note.point && t('review.of_all')].filter(Boolean).join(' · '))))),
    prompt, details,
    el('a', { href: `/library/${take.file_id}` }, t('review.all_details')),
  ].filter(Boolean))
  fileOf(take).then((file) => {
    const made = file.metadata ?? {}
    const text = made.prompt ?? ''
    if (text) prompt.replaceChildren(shortened(String(text), 600), el('button', {
      type: 'button', class: 'quiet icon', title: t('review.copy_prompt'), 'aria-label': t('review.copy_prompt'), onclick: () => copy(String(text)),
    }, icon('copy')))
    const said = [...DETAILS.map((name) => [name, name === 'seed' ? take.seed ?? made.seed : made[name]]),
      ['size', file.width && `${file.width} × ${file.height}`]]
    details.replaceChildren(...said.filter(([, value]) => value !== undefined && value !== null && value !== '')
      .flatMap(([name, value]) => [el('dt', {}, t(`review.detail.${name}`)), el('dd', {}, shortened(String(value), 200))]))
  }).catch(() => {}) // the picture itself says that it is gone
  return undefined
}

function fileOf({ file_id: id }) {
  if (!files.has(id)) files.set(id, api(`/files/${id}`))
  return files.get(id)
}

function drawShot() {
  const lines = [shot.description, shot.characters?.join(', '), shot.notes].filter(Boolean)
  at('shot-about').replaceChildren(
    el('h3', {}, t('review.shot')),
    ...lines.map((line) => el('p', {}, shortened(line, 600))),
    shot.prompt ? el('p', { class: 'prompt' }, shortened(shot.prompt, 600)) : '')
}

function drawPoints() {
  const shown = (take?.notes ?? []).map((note, place) => ({ point: note.point, label: place + 1, title: shortened(note.text, 200) }))
    .filter(({ point }) => point)
  if (draft?.point) shown.push({ point: draft.point, draft: true })
  stage.points(shown)
}

// ---- comparing

function drawCompare() {
  const mode = other ? readQuery().mode : null
  at('compare').ariaPressed = String(Boolean(mode))
  at('compare').disabled = takesNow().length < 2
  at('compare-modes').hidden = !mode
  for (const button of at('compare-modes').children) button.ariaPressed = String(button.dataset.mode === mode)
  const slider = at('slider')
  slider.hidden = mode !== 'wipe' && mode !== 'difference'
  slider.firstElementChild.textContent = t(mode === 'wipe' ? 'review.wipe_position' : 'review.gain')
  slide(mode === 'wipe' ? wipe : gain)
  at('differences').hidden = !mode
  if (mode) drawDifferences().catch((fault) => at('differences').replaceChildren(el('p', { class: 'fault' }, fault.detail || fault.message)))
}

let wipe = 0.5
let gain = 0

function slide(value) {
  at('slider').lastElementChild.value = String(value)
  if (readQuery().mode === 'wipe') stage.wipe = wipe = value
  else stage.gain = 1 + MOST_GAIN * (gain = value)
}

function nextMode() {
  const { mode } = readQuery()
  const next = other ? MODES[MODES.indexOf(mode) + 1] : MODES[0]
  const compares = otherThan(take, takesNow())
  if (!compares) return announce(t('review.one_take'))
  return go(next ? { mode: next, with: (other ?? compares).number } : { mode: null, with: null }, { replace: true })
}

async function drawDifferences() {
  const [one, two] = [take, other]
  const key = `${one.file_id} ${two.file_id}`
  if (!compared.has(key)) compared.set(key, api('/diff', { query: { first: one.file_id, second: two.file_id } }))
  const found = await compared.get(key).catch((fault) => {
    compared.delete(key)
    throw fault
  })
  if (one !== take || two !== other) return
  const rows = new Map()
  for (const { setting, first, second } of found.settings) addDifferences(rows, setting, first, second)
  at('differences').replaceChildren(...[
    el('h3', {}, t('review.differences', { first: one.number, second: two.number })),
    el('p', {}, found.pixels ? t('review.pixels', { share: number(Math.round(found.pixels.share * 1000) / 10) }) : found.verdict),
    rows.size > 0 && el('table', {},
      el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, t('review.setting')),
        [one, two].map((each) => el('th', { scope: 'col' }, t('review.take', { number: each.number }))))),
      el('tbody', {}, [...rows].map(([name, values]) => el('tr', {}, el('th', { scope: 'row' }, labelOf(name)),
        values.map((value) => el('td', {}, shortened(String(value ?? '–'), 200))))))),
    ...found.words.map((each) => el('p', {}, el('b', {}, labelOf(each.text)), ' ',
      each.removed.map((word) => [el('del', {}, word), ' ']), each.added.map((word) => [el('ins', {}, word), ' ']))),
  ].filter(Boolean))
}

/** Adds each value that differs by its own name; what a list of samplers repeats is there once. */
function addDifferences(rows, name, first, second) {
  const parts = [first, second].map((value) => (value && typeof value === 'object' ? value : null))
  if (!parts[0] && !parts[1]) {
    const same = rows.get(name)
    if (!same || String(same) === String([first, second])) rows.set(name, [first, second])
    else rows.set(`${name} (${rows.size})`, [first, second])
    return
  }
  for (const key of new Set(parts.flatMap((part) => Object.keys(part ?? {})))) {
    const [one, two] = parts.map((part) => part?.[key])
    const isPlace = /^\d+$/.test(key)
    if (JSON.stringify(one) !== JSON.stringify(two)) addDifferences(rows, isPlace ? name : key, one, two)
  }
}

// ---- what is said

const nameOf = () => page.dataset.by || localStorage.getItem(KEPT_NAME) || undefined

async function say(action, more = {}) {
  if (!take || !mayReview) return
  const said = { shot: shot.code, take: take.number, action, by: nameOf(), ...more }
  try {
    await data.review(said)
  } catch (fault) {
    toast(fault)
    return
  }
  done.push({ shot: said.shot, take: said.take })
  announce(t(`review.done.${action}`, { number: said.take }))
  await present()
}

async function undo() {
  const last = done.at(-1) ?? (take && { shot: shot.code, take: take.number })
  if (!last) return
  try {
    await data.review({ ...last, action: 'undo', by: nameOf() })
  } catch (fault) {
    done.pop()
    toast(fault)
    return
  }
  done.pop()
  announce(t('review.done.undo', { number: last.take }))
  await go({ shot: last.shot, take: last.take }, { replace: last.shot === shot.code })
}

async function reject() {
  if (!take) return
  const body = at('reject-form').content.cloneNode(true).firstElementChild
  const [free, again] = ['[name=free]', '[name=again]'].map((name) => body.querySelector(name))
  const said = new Set(takesNow().map((each) => each.reason).filter(Boolean))
  body.querySelector('datalist')?.append(...[...said].map((reason) => el('option', { value: reason })))
  if (again && !shot.prompt) again.disabled = true
  body.addEventListener('keydown', (event) => {
    const choice = free ? null : body.querySelectorAll('[name=reason]')[Number(event.key) - 1]
    if (choice) choice.checked = true
  })
  const rejected = { shot, take }
  const answer = await dialog({
    title: t('review.reject_title', { number: take.number }), body,
    actions: [{ label: t('review.cancel'), value: '' }, { label: t('review.reject'), value: 'reject', kind: 'danger' }],
  })
  if (answer !== 'reject' || rejected.take.file_id !== take?.file_id) return
  const reason = free ? free.value.trim() : body.querySelector('[name=reason]:checked').value
  await say('reject', { reason: reason || undefined, ...(again?.checked ? { retake: true } : {}) })
}

// ---- notes

const noteForm = at('note-form')

function writeNote() {
  if (!take || draft) return
  draft = { point: pointer && stage.pointAt(pointer) }
  noteForm.hidden = false
  noteForm.querySelector('textarea').focus()
  stage.choosePoint((point) => {
    draft.point = point
    drawPoints()
    noteForm.querySelector('textarea').focus()
  })
  drawPoints()
}

function leaveNote() {
  if (!draft) return
  draft = null
  noteForm.hidden = true
  noteForm.reset()
  stage.choosePoint(null)
  drawPoints()
  at('stage').focus()
}

let pointer = null // where the mouse is over the stage

function listenToNotes() {
  const text = noteForm.querySelector('textarea')
  at('stage').addEventListener('pointermove', (event) => { pointer = event })
  at('stage').addEventListener('pointerleave', () => { pointer = null })
  noteForm.querySelector('[data-leave]').addEventListener('click', leaveNote)
  noteForm.querySelector('[data-whole]').addEventListener('click', () => {
    draft.point = null
    drawPoints()
    text.focus()
  })
  noteForm.addEventListener('submit', async (event) => {
    event.preventDefault()
    const note = text.value.trim()
    if (!note) return
    const { point } = draft
    leaveNote()
    await say('note', { note, ...(point ? { point } : {}) })
  })
  noteForm.addEventListener('keydown', (event) => {
    const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }
    if (event.key === 'Escape') leaveNote()
    else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) noteForm.requestSubmit()
    else if (event.altKey && moves[event.key]) {
      const from = draft.point ?? { x: 0.5, y: 0.5 }
      const [x, y] = moves[event.key]
      draft.point = { x: Math.min(1, Math.max(0, from.x + x)), y: Math.min(1, Math.max(0, from.y + y)) }
      drawPoints()
    } else return
    event.preventDefault()
  })
}

// ---- playing

async function play() {
  if (animatic) return animatic.toggle()
  writeQuery({ play: 1, mode: null, with: null })
  page.classList.add('playing')
  at('animatic').hidden = false
  stage.setMode('single')
  animatic = new Animatic(stage, at('animatic'), (code) => {
    shot = data.shot(code)
    writeQuery({ shot: code, take: null }, { replace: true })
    drawHead()
  })
  const count = await animatic.load(data, sequence.map((code) => data.shot(code)), readQuery().shot)
  if (!count) {
    leavePlay()
    return toast(t('review.none_picked'))
  }
  announce(t('review.picked_count', { count: number(count), all: number(sequence.length) }))
  showNothing('')
  return animatic?.toggle(true)
}

function leavePlay() {
  if (!animatic) return
  animatic.stop()
  animatic = null
  page.classList.remove('playing')
  at('animatic').hidden = true
  go({ play: null }, { replace: true })
}

// ---- begin

function listen() {
  at('previous').addEventListener('click', () => stepShot(-1))
  at('next').addEventListener('click', () => stepShot(1))
  at('compare').addEventListener('click', () => (other ? go({ mode: null, with: null }, { replace: true }) : nextMode()))
  for (const button of at('compare-modes').children) {
    button.addEventListener('click', () => go({ mode: button.dataset.mode }, { replace: true }))
  }
  at('slider').lastElementChild.addEventListener('input', (event) => slide(Number(event.target.value)))
  stage.onWipe = slide
  at('play').addEventListener('click', play)
  at('play-leave').addEventListener('click', leavePlay)
  at('full').addEventListener('click', full)
  at('stage').tabIndex = -1
  onQuery(() => (readQuery().play ? undefined : animatic ? leavePlay() : present().catch(toast)))
  const takeKeys = {}
  for (let place = 1; place <= 9; place++) {
    takeKeys[String(place)] = [t('review.key_take'), () => takesNow()[place - 1] && toTake(takesNow()[place - 1].number)]
  }
  onKey({
    ArrowLeft: [t('review.previous'), () => { stepShot(-1) }],
    ArrowRight: [t('review.next'), () => { stepShot(1) }],
    ...takeKeys,
    ArrowUp: [t('review.key_take_before'), () => stepTake(-1)],
    ArrowDown: [t('review.key_take_after'), () => stepTake(1)],
    c: [t('review.key_compare'), () => { nextMode() }],
    ' ': [t('review.key_play'), (event) => {
      if (event.target.closest('button, a, summary')) return false
      if (stage.film && !animatic) stage.film.paused ? stage.film.play() : stage.film.pause()
      else play()
      return true
    }],
    '+': [t('review.key_zoom'), () => stage.zoomBy(1.5)],
    '-': [t('review.key_zoom'), () => stage.zoomBy(1 / 1.5)],
    0: [t('review.key_fit'), () => stage.zoom(1)],
    f: [t('review.full'), full],
    Escape: [t('review.key_leave'), () => (animatic ? leavePlay() : other ? go({ mode: null, with: null }, { replace: true }) : location.assign(at('leave').href))],
  })
  if (mayReview) listenToReviews()
}

function listenToReviews() {
  const actions = {
    approve: () => say('approve'), reject, pick: () => say('pick'), note: writeNote, undo,
  }
  for (const button of document.querySelectorAll('#actions button')) {
    button.addEventListener('click', actions[button.dataset.action])
  }
  const unlessPlaying = (action) => () => { if (!animatic) actions[action]() }
  onKey({
    a: [t('review.approve'), unlessPlaying('approve')], r: [t('review.reject'), unlessPlaying('reject')],
    p: [t('review.pick'), unlessPlaying('pick')], n: [t('review.note'), unlessPlaying('note')],
    z: [t('review.undo'), unlessPlaying('undo')],
  })
  listenToNotes()
  const name = at('by')
  if (!name) return
  name.value = localStorage.getItem(KEPT_NAME) ?? ''
  name.addEventListener('change', () => localStorage.setItem(KEPT_NAME, name.value.trim()))
}

function full() {
  if (document.fullscreenElement) document.exitFullscreen()
  else document.documentElement.requestFullscreen().catch(() => {}) // where it is not allowed, it stays as it is
}

async function start() {
  const query = readQuery()
  const projects = await listProjects()
  const project = chosenProject(projects, query.project)
  if (!project) return showNothing(t(projects.length ? 'shots.no_project' : 'shots.no_projects'))
  writeQuery({ project: project.slug }, { replace: true })
  data = new ShotData(project)
  data.addEventListener('fault', ({ detail }) => toast(detail))
  data.addEventListener('changed', ({ detail }) => {
    if (detail.code === shot?.code && !animatic) present().catch(toast)
  })
  const first = query.shot && !query.play ? present() : null
  data.addEventListener('shots', () => {
    const fitting = data.shots.filter((each) => fits(each, filters())).map((each) => each.code)
    if (!data.isComplete || !sequence.length || fitting.some((code) => !sequence.includes(code))) sequence = fitting
    if (!animatic && (data.isComplete || !shot)) present().catch(toast)
  })
  await Promise.all([first, data.load()])
  return readQuery().play ? play() : undefined
}

listen()
start().catch((fault) => {
  showNothing(fault.detail ?? fault.message)
  toast(fault)
})
