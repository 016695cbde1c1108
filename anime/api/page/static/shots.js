// The table of a project's shots. Only the rows in sight are in the document.

import { api, withQuery } from './api.js'
import { debounced, dialog, el, icon, onKey, shortened, toast } from './dom.js'
import { onQuery, readQuery, writeQuery } from './query.js'
import { bestTake, chosenProject, fits, inOrder, listProjects, ShotData, stateBadge, takeFace } from './shot_data.js'
import { importList } from './shot_import.js'
import { number, t } from './words.js'

const MARGIN_ROWS = 6
const RENDERABLE = ['missing', 'stale']
const mayProduce = document.documentElement.dataset.role === 'produce'
const at = (id) => document.getElementById(id)
const body = at('shot-rows')

let data = null
let shown = [] // the shots that fit
let current = null // code of the row that keys act on
const chosen = new Set() // codes
const rows = new Map() // code → element
const cast = new Map() // character in lower case → promise of {id, picture}

const reviewOf = (code, take) =>
  withQuery('/review', { project: data.project.slug, ...filters(), shot: code, take })

function filters() {
  const { episode, character, state } = readQuery()
  return { episode, character, state }
}

// ---- rows

const takeLink = (take) => takeFace(take, 'a', { href: reviewOf(take.shot, take.number) })

function character(name) {
  const place = el('span', { class: 'character', title: name }, el('span', { class: 'name' }, shortened(name, 40)))
  castOf(name).then((found) => {
    if (found?.picture) place.prepend(el('img', { src: found.picture, alt: '', loading: 'lazy', decoding: 'async' }))
  })
  return place
}

/** A character of the project, with the address of a picture that shows the face, or any. */
function castOf(name) {
  const key = name.toLowerCase()
  if (!cast.has(key)) cast.set(key, Promise.resolve(null))
  return cast.get(key)
}

async function readCast() {
  const project = data.project
  const page = await api('/characters', { query: { project: project.slug, limit: 200 } })
  if (data?.project !== project) return
  for (const each of page.items) {
    const reading = api(`/characters/${each.id}/references`).then(({ items }) => {
      const face = items.find((reference) => reference.role === 'face') ?? items[0]
      return { picture: face && `/api/anime/characters/${each.id}/references/${face.sha256}/content` }
    }).catch(() => null) // a row without a picture says the name all the same
    for (const name of [each.name, each.slug]) cast.set(name.toLowerCase(), reading)
  }
  for (const row of rows.values()) row.remove()
  rows.clear()
  draw()
}

function counts(shot) {
  const said = []
  if (shot.under_way) said.push(t('shots.under_way', { count: number(shot.under_way) }))
  if (shot.failed) said.push(t('shots.failed', { count: number(shot.failed) }))
  if (!shot.prompt) said.push(t('shots.no_prompt'))
  return said.join(' · ')
}

function contentOf(shot) {
  const takes = data.takes(shot.code)
  const about = shot.description || shot.prompt || ''
  const first = bestTake(takes ?? [])
  return [
    el('span', { role: 'cell', class: 'choose' }, mayProduce && el('input', {
      type: 'checkbox', checked: chosen.has(shot.code), 'aria-label': t('shots.choose', { code: shot.code }),
      onchange: (event) => choose(shot.code, event.target.checked),
    })),
    el('span', { role: 'rowheader', class: 'code' },
      el('a', { href: reviewOf(shot.code, first?.number) }, shot.code),
      el('small', {}, [shot.episode && t('shots.episode_short', { episode: shot.episode }), shot.scene].filter(Boolean).join(' · '))),
    el('span', { role: 'cell', class: 'about', title: shortened(about, 600) }, shortened(about, 240)),
    el('span', { role: 'cell', class: 'cast' }, shot.characters.map(character)),
    el('span', { role: 'cell', class: 'takes' }, takes
      ? takes.map(takeLink) : Array.from({ length: Math.min(shot.takes, 6) }, () => el('span', { class: 'take waits' }))),
    el('span', { role: 'cell', class: 'state' }, stateBadge(shot.state), el('small', {}, counts(shot))),
  ]
}

/** What a row shows, in a text: it is drawn anew when that has changed. */
const signature = (shot) => JSON.stringify([filters(), shot.state, shot.under_way, shot.failed, shot.updated_at, shot.takes,
  data.takes(shot.code)?.map((take) => [take.number, take.verdict, take.is_picked])])

function rowOf(shot, place) {
  let row = rows.get(shot.code)
  if (!row) {
    row = el('div', { role: 'row', class: 'shot', tabindex: -1, dataset: { code: shot.code } })
    row.addEventListener('focusin', () => setCurrent(shot.code))
    rows.set(shot.code, row)
  }
  const now = signature(shot)
  if (row.dataset.signature !== now) {
    const focused = row.contains(document.activeElement) && document.activeElement !== row
    row.dataset.signature = now
    row.replaceChildren(...contentOf(shot))
    if (focused) row.focus()
  }
  row.ariaRowIndex = String(place + 2)
  row.ariaSelected = String(chosen.has(shot.code))
  row.classList.toggle('current', shot.code === current)
  row.tabIndex = shot.code === current || (current === null && place === 0) ? 0 : -1
  row.style.setProperty('transform', `translateY(${place * rowHeight}px)`)
  return row
}

let rowHeight = 88

function draw() {
  if (!data) return
  rowHeight = parseFloat(getComputedStyle(body).getPropertyValue('--row')) * parseFloat(getComputedStyle(document.documentElement).fontSize)
  body.style.setProperty('block-size', `${shown.length * rowHeight}px`)
  const top = -body.getBoundingClientRect().top
  const first = Math.max(0, Math.floor(top / rowHeight) - MARGIN_ROWS)
  const last = Math.min(shown.length, Math.ceil((top + innerHeight) / rowHeight) + MARGIN_ROWS)
  const wanted = new Map(shown.slice(first, last).map((shot, place) => [shot.code, first + place]))
  const focused = document.activeElement?.closest?.('.shot')?.dataset.code
  if (focused && !wanted.has(focused)) {
    const place = shown.findIndex((shot) => shot.code === focused)
    if (place >= 0) wanted.set(focused, place) // the focus is not lost by scrolling
  }
  for (const [code, row] of rows) {
    if (wanted.has(code)) continue
    row.remove()
    rows.delete(code)
  }
  for (const [code, place] of [...wanted].sort((one, other) => one[1] - other[1])) {
    const row = rowOf(data.shot(code), place)
    if (!row.isConnected) body.append(row)
  }
  data.wantTakes([...wanted.keys()])
}

let isAsked = false
function drawSoon() {
  if (isAsked) return
  isAsked = true
  requestAnimationFrame(() => {
    isAsked = false
    draw()
  })
}

// ---- what is shown

function refresh() {
  const asked = filters()
  shown = data.shots.filter((shot) => fits(shot, asked))
  const codes = new Set(data.shots.map((shot) => shot.code))
  for (const code of chosen) if (!codes.has(code)) chosen.delete(code)
  drawFilters(asked)
  at('shot-table').ariaRowCount = String(shown.length + 1)
  at('shot-table').hidden = !data.shots.length
  at('no-shots').hidden = Boolean(data.shots.length) || !data.isComplete
  at('none-fit').hidden = !data.shots.length || shown.length > 0 || !data.isComplete
  at('review-link').href = withQuery('/review', { project: data.project.slug, ...asked })
  at('play-link').href = withQuery('/review', { project: data.project.slug, ...asked, play: 1 })
  drawCount()
  draw()
}

function drawCount() {
  at('shot-count').textContent = chosen.size
    ? t('shots.chosen', { count: number(chosen.size) })
    : t('shots.count', { count: number(shown.length), all: number(data.shots.length) })
  if (mayProduce) at('render').disabled = !toRender().length
}

function options(select, values, chosenValue, all) {
  const wanted = ['', ...values]
  if (chosenValue && !wanted.includes(chosenValue)) wanted.push(chosenValue)
  if (JSON.stringify(wanted) !== select.dataset.values) {
    select.dataset.values = JSON.stringify(wanted)
    select.replaceChildren(...wanted.map((value) => el('option', { value }, value || all)))
  }
  select.value = chosenValue ?? ''
}

function drawFilters(asked) {
  options(at('episode'), inOrder(data.shots.map((shot) => shot.episode).filter(Boolean)), asked.episode, t('shots.all_episodes'))
  options(at('character'), inOrder(data.shots.flatMap((shot) => shot.characters)), asked.character, t('shots.all_characters'))
  const others = data.shots.filter((shot) => fits(shot, { ...asked, state: '' }))
  const wanted = new Set(asked.state?.split(',') ?? [])
  for (const button of at('states').children) {
    const { state } = button.dataset
    button.ariaPressed = String(wanted.has(state))
    button.lastElementChild.textContent = number(others.filter((shot) => shot.state === state).length)
  }
}

/** Adds a state to those that are shown, or takes it away. */
function toggleState(state) {
  const wanted = new Set(filters().state?.split(','))
  if (!wanted.delete(state)) wanted.add(state)
  filter({ state: [...wanted].join(',') })
}

function filter(change) {
  writeQuery(change)
  scrollTo({ top: 0 })
  refresh()
}

// ---- what is done

function choose(code, isChosen) {
  if (isChosen) chosen.add(code)
  else chosen.delete(code)
  const row = rows.get(code)
  if (row) {
    row.ariaSelected = String(isChosen)
    row.querySelector('input').checked = isChosen
  }
  drawCount()
}

function setCurrent(code) {
  if (code === current) return
  current = code
  for (const [each, row] of rows) {
    row.classList.toggle('current', each === code)
    row.tabIndex = each === code ? 0 : -1
  }
}

function move(step) {
  if (!shown.length) return
  const before = shown.findIndex((shot) => shot.code === current)
  const place = Math.min(shown.length - 1, Math.max(0, before < 0 ? 0 : before + step))
  const top = body.getBoundingClientRect().top + scrollY + place * rowHeight
  const bar = document.querySelector('.shot-head').getBoundingClientRect().bottom
  if (top < scrollY + bar) scrollTo({ top: top - bar })
  else if (top + rowHeight > scrollY + innerHeight) scrollTo({ top: top + rowHeight - innerHeight })
  setCurrent(shown[place].code)
  draw()
  rows.get(current)?.focus({ preventScroll: true })
}

/** The shots that Render is about: those chosen, or those shown that are missing or stale. */
function toRender() {
  return chosen.size
    ? data.shots.filter((shot) => chosen.has(shot.code) && shot.prompt)
    : shown.filter((shot) => RENDERABLE.includes(shot.state) && shot.prompt)
}

async function render() {
  const shots = toRender()
  if (!shots.length) return
  const takes = el('input', { type: 'number', min: 1, max: 100, value: 1, required: true, autofocus: true })
  const values = { count: number(shots.length) }
  const answer = await dialog({
    title: t('shots.render_title'),
    body: [
      el('p', {}, chosen.size ? t('shots.render_chosen', values) : t('shots.render_missing', values)),
      el('label', { class: 'field' }, el('span', {}, t('shots.render_takes')), takes),
    ],
    actions: [{ label: t('shots.cancel'), value: '' }, { label: t('shots.render'), value: 'render', kind: 'primary' }],
  })
  if (answer !== 'render') return
  const asked = { project: data.project.slug, codes: shots.map((shot) => shot.code), takes: Number(takes.value) || 1 }
  at('render').disabled = true
  try {
    const batch = await api('/shots/render', { method: 'POST', body: asked })
    toast(t('shots.rendering', { count: number(batch.shots) }), { kind: 'success' })
    chosen.clear()
    for (const row of rows.values()) delete row.dataset.signature
  } catch (fault) {
    toast(fault)
  }
  refresh()
}

async function importFile(file) {
  const project = await importList(file, data?.project.name ?? '')
  if (project === null) return
  await open(project)
}

// ---- begin

async function open(asked) {
  const projects = await listProjects()
  const project = chosenProject(projects, asked)
  options(at('project'), projects.map((each) => each.slug), project?.slug, t('shots.choose_project'))
  for (const option of at('project').options) {
    option.textContent = projects.find((each) => each.slug === option.value)?.name ?? option.textContent
  }
  data?.close()
  data = null
  for (const row of rows.values()) row.remove()
  rows.clear()
  cast.clear()
  at('no-project').hidden = Boolean(project) || !projects.length
  for (const id of ['episode', 'character', 'states', 'review-link', 'play-link']) at(id).hidden = !project
  at('no-shots').firstElementChild.textContent = t(project ? 'shots.none' : 'shots.no_projects')
  if (!project) {
    at('no-shots').hidden = projects.length > 0
    return
  }
  writeQuery({ project: project.slug }, { replace: true })
  data = new ShotData(project)
  data.addEventListener('shots', refresh)
  data.addEventListener('takes', drawSoon)
  data.addEventListener('changed', debounced(refresh, 50))
  data.addEventListener('fault', ({ detail }) => toast(detail))
  readCast().catch(() => {}) // names stand there without pictures
  await data.load()
}

function listen() {
  at('project').addEventListener('change', (event) => {
    writeQuery({ project: event.target.value, episode: null, character: null, state: null })
    chosen.clear()
    start()
  })
  for (const name of ['episode', 'character']) {
    at(name).addEventListener('change', (event) => filter({ [name]: event.target.value }))
  }
  for (const button of at('states').children) {
    button.addEventListener('click', () => toggleState(button.dataset.state))
  }
  onQuery((query) => (query.project && data && query.project !== data.project.slug ? start() : data && refresh()))
  addEventListener('scroll', drawSoon, { passive: true })
  addEventListener('resize', drawSoon)
  const keys = {
    ArrowDown: [t('shots.key_next'), () => move(1)], ArrowUp: [t('shots.key_previous'), () => move(-1)],
    j: [t('shots.key_next'), () => move(1)], k: [t('shots.key_previous'), () => move(-1)],
    Enter: [t('shots.key_review'), (event) => {
      if (event.target.closest('a, button') || !current) return false
      location.assign(rows.get(current).querySelector('.code a').href)
      return true
    }],
  }
  onKey(keys)
  if (!mayProduce) return
  onKey({ x: [t('shots.key_choose'), () => current && choose(current, !chosen.has(current))] })
  at('render').addEventListener('click', render)
  const input = at('list-file')
  at('import').addEventListener('click', () => input.click())
  input.addEventListener('change', () => {
    const [file] = input.files
    if (file) importFile(file).catch(toast)
    input.value = ''
  })
  acceptDrops()
}

function acceptDrops() {
  const holdsFile = (event) => event.dataTransfer?.types.includes('Files')
  const hint = at('drop-hint')
  let depth = 0
  addEventListener('dragenter', (event) => {
    if (!holdsFile(event)) return
    depth++
    hint.hidden = false
  })
  addEventListener('dragleave', (event) => {
    if (holdsFile(event) && --depth <= 0) hint.hidden = true
  })
  addEventListener('dragover', (event) => holdsFile(event) && event.preventDefault())
  addEventListener('drop', (event) => {
    if (!holdsFile(event)) return
    event.preventDefault()
    depth = 0
    hint.hidden = true
    importFile(event.dataTransfer.files[0]).catch(toast)
  })
}

const start = () => open(readQuery().project).catch(toast)

listen()
start()
