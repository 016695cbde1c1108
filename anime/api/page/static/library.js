// The library: all files by month, or those that a search finds.

import { api } from './api.js'
import { Choice, MOST_CHOSEN } from './choice.js'
import { debounced, el, icon, onKey, reveal, toast } from './dom.js'
import { GAP, estimate, justify, ratioOf, rowHeightFor } from './layout.js'
import { live } from './live.js'
import { contentOf } from './picture.js'
import { onQuery, readQuery, writeQuery } from './query.js'
import { Scroller } from './scroller.js'
import { language, moment, number, t } from './words.js'

const HEADING_PX = 40
const MOST_TILES = 400
const MOST_SECTIONS = 150 // whose tiles are kept
const LOADS_AT_ONCE = 3
const FILTERS = ['text', 'project', 'kind', 'character', 'shot', 'model', 'seed', 'state', 'review', 'since', 'until', 'job']

const grid = document.getElementById('grid')
const spacer = grid.firstElementChild
const rail = document.getElementById('months')
const jump = document.getElementById('jump')
const form = document.getElementById('filters')
const count = document.getElementById('count')
const monthNames = new Intl.DateTimeFormat(language, { year: 'numeric', month: 'long', timeZone: 'UTC' })
const monthOf = new Intl.DateTimeFormat('en-CA', { year: 'numeric', month: '2-digit', timeZone: zone() })

let sections = [] // {month, page, files, hasHeading, tiles, layout, height, top}
let nextCursor = null // of a search; null when all has come
let isSearch = false
let generation = 0 // of what is shown: answers to what was asked before are dropped
let width = 0
let marked = null // the month that the list beside marks
let current = null // the file that keys act on: {section, place}
const shown = new Map() // file id → its element
const headings = new Map() // section → its element
const loading = new Map() // section → AbortController
const awaited = new Set() // of these, those that somebody goes to: they are loaded out of sight, too
const scroller = new Scroller(grid, spacer, render)
const choice = new Choice({ changed: choiceChanged })

function zone() {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: grid.dataset.zone }).resolvedOptions().timeZone
  } catch { // one that only the server knows
    return undefined
  }
}

const nameOfMonth = (month) => monthNames.format(new Date(`${month}-01T00:00:00Z`))

// What is shown

async function open({ keepsChoice = false } = {}) {
  const mine = ++generation
  for (const each of loading.values()) each.abort()
  loading.clear()
  clear()
  if (!keepsChoice) choice.clear()
  const query = readQuery()
  fillForm(query)
  const filters = Object.fromEntries(FILTERS.filter((name) => query[name]).map((name) => [name, query[name]]))
  isSearch = Object.keys(filters).length > 0
  document.getElementById('clear').hidden = !isSearch
  grid.setAttribute('aria-busy', 'true')
  let isRead = true
  try {
    if (isSearch) {
      sections = []
      count.textContent = ''
      const begin = { ...filters, month: query.month }
      const [index] = await Promise.all([api('/files/months'), more(begin, null)])
      if (mine !== generation) return
      fillRail(index.items.filter(({ month }) => month >= (query.since ?? '').slice(0, 7)
        && month <= (query.until ?? '9').slice(0, 7)))
    } else {
      const index = await api('/files/months')
      if (mine !== generation) return
      setMonths(index)
      await goBackTo(history.state, query.month)
    }
  } catch (fault) {
    if (mine === generation && fault.name !== 'AbortError') toast(fault)
    isRead = false
  }
  if (mine !== generation) return
  grid.removeAttribute('aria-busy')
  document.getElementById('empty').hidden = !isRead || sections.length > 0
  document.getElementById('empty-text').textContent = t(isSearch ? 'library.nothing_found' : 'library.nothing_yet')
  render()
}

/** The sections of the month index; what is loaded of those that are the same is kept. */
function setMonths({ items, tiles_of_page: size }) {
  const known = new Map(sections.map((each) => [`${each.month}/${each.page}`, each]))
  const total = items.reduce((sum, each) => sum + each.files, 0)
  sections = items.flatMap(({ month, files }) => {
    const pages = Math.ceil(files / size)
    return Array.from({ length: pages }, (_, place) => {
      const page = pages - 1 - place
      const inPage = page === pages - 1 ? files - page * size : size
      const section = known.get(`${month}/${page}`) ?? { month, page, tiles: null, layout: null }
      section.isStale = section.tiles !== null && section.files !== inPage
      if (section.hasHeading !== !place || section.files !== inPage) section.width = 0
      return Object.assign(section, { files: inPage, hasHeading: !place })
    })
  })
  count.textContent = t('library.count', { count: number(total) })
  fillRail(items)
  layOut()
}

/** The next page of a search, in sections by month. */
async function more(filters, cursor) {
  const mine = generation
  const tiles = await api('/files/tiles', { query: { ...filters, limit: 200, cursor } })
  if (mine !== generation) return
  let first = 0
  const months = tiles.moments.map((at) => monthOf.format(at * 1000).slice(0, 7))
  for (let place = 1; place <= months.length; place++) {
    if (place < months.length && months[place] === months[first]) continue
    const section = {
      month: months[first], page: -1, files: place - first, layout: null,
      hasHeading: sections.at(-1)?.month !== months[first],
      tiles: Object.fromEntries(Object.entries(tiles).filter(([, list]) => Array.isArray(list))
        .map(([name, list]) => [name, list.slice(first, place)])),
    }
    sections.push(section)
    first = place
  }
  nextCursor = tiles.next_cursor ? { filters, cursor: tiles.next_cursor } : null
  const found = sections.reduce((sum, each) => sum + each.files, 0)
  const said = t(nextCursor ? 'library.count_more' : 'library.count', { count: number(found) })
  count.textContent = filters.month ? t('library.from_month', { month: nameOfMonth(filters.month), count: said }) : said
  layOut()
}

/** Where everything lies, at the width that there is. */
function layOut() {
  width = grid.clientWidth - 2 * GAP
  const target = rowHeightFor(width)
  for (const section of sections) {
    if (section.width !== width) measure(section, target)
  }
  placeSections()
}

function measure(section, target = rowHeightFor(width)) {
  section.width = width
  const heading = section.hasHeading ? HEADING_PX : 0
  if (section.tiles) {
    const ratios = section.tiles.ids.map((_, place) =>
      ratioOf(section.tiles.widths[place], section.tiles.heights[place]))
    section.layout = justify(ratios, width, target)
    section.height = heading + section.layout.height
  } else section.height = heading + estimate(section.files, width, target)
}

function placeSections(shift = 0) {
  let top = 0
  for (const section of sections) {
    section.top = top
    top += section.height
  }
  scroller.resize(top, shift)
}

/** The section at a virtual place. */
function sectionAt(place) {
  let [low, high] = [0, sections.length - 1]
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (sections[middle].top <= place) low = middle
    else high = middle - 1
  }
  return low
}

// Drawing

function clear() {
  for (const element of shown.values()) element.remove()
  shown.clear()
  for (const element of headings.values()) element.remove()
  headings.clear()
  current = null
  grid.removeAttribute('aria-activedescendant')
}

function render() {
  if (!sections.length) return
  const [top, height] = [scroller.position, scroller.height]
  const wanted = new Map()
  const wantedHeadings = new Set()
  const missing = []
  const ahead = Math.min(height / 2, 500)
  // What is seen comes first, then what is below, then what is above, up to a number.
  for (const [from, to] of [[top, top + height], [top + height, top + height + ahead], [top - ahead, top]]) {
    for (let at = sectionAt(Math.max(0, from)); at < sections.length && sections[at].top < to; at++) {
      const section = sections[at]
      if (section.hasHeading && section.top + HEADING_PX > from) wantedHeadings.add(section)
      if (!section.tiles || section.isStale) missing.push(section)
      if (section.tiles) collect(section, from, to, wanted)
    }
  }
  for (const [id, element] of shown) {
    if (wanted.has(id)) continue
    element.remove()
    shown.delete(id)
  }
  for (const [section, element] of headings) {
    if (wantedHeadings.has(section)) continue
    element.remove()
    headings.delete(section)
  }
  for (const section of wantedHeadings) drawHeading(section)
  const added = document.createDocumentFragment()
  for (const [id, box] of wanted) draw(id, box, added)
  spacer.append(added)
  load(missing)
  markMonth(sections[sectionAt(top + 1)].month)
  if (nextCursor && top + 3 * height > sections.at(-1).top + sections.at(-1).height) loadMore()
}

/** Adds the tiles of a section that lie between two places. */
function collect(section, from, to, wanted) {
  const offset = section.top + (section.hasHeading ? HEADING_PX : 0)
  for (const row of section.layout.rows) {
    if (offset + row.top + row.height < from) continue
    if (offset + row.top > to) break
    for (let place = row.first; place <= row.last && wanted.size < MOST_TILES; place++) {
      wanted.set(section.tiles.ids[place], { section, place, row, top: offset + row.top })
    }
  }
}

function drawHeading(section) {
  let element = headings.get(section)
  if (!element) {
    element = el('div', { class: 'month', 'aria-hidden': 'true' }, nameOfMonth(section.month))
    headings.set(section, element)
    spacer.append(element)
  }
  element.style.transform = `translateY(${Math.round(section.top - scroller.base)}px)`
}

function draw(id, { section, place, row, top }, added) {
  let element = shown.get(id)
  if (!element) {
    element = tile(section.tiles, place)
    shown.set(id, element)
    added.append(element)
  }
  const left = row.lefts[place - row.first] + GAP
  const wide = row.widths[place - row.first]
  const key = `${left} ${top - scroller.base} ${wide} ${row.height}`
  if (element.key === key) return
  element.key = key
  element.style.transform = `translate(${left.toFixed(1)}px, ${(top - scroller.base).toFixed(1)}px)`
  element.style.width = `${wide.toFixed(1)}px`
  element.style.height = `${row.height.toFixed(1)}px`
}

function labelOf(tiles, place) {
  const parts = [t(`library.kind.${tiles.kinds[place]}`), moment(tiles.moments[place] * 1000)]
  if (tiles.widths[place]) parts.push(`${tiles.widths[place]} × ${tiles.heights[place]}`)
  if (tiles.states[place] !== 'present') parts.push(tiles.states[place])
  return [...parts, `#${tiles.ids[place]}`].join(', ')
}

function tile(tiles, place) {
  const id = tiles.ids[place]
  const kind = tiles.kinds[place]
  const picture = el('anime-picture', {
    'file-id': id, kind, colours: tiles.colours[place] || null, alt: '',
  })
  return el('div', {
    class: `tile ${tiles.states[place] === 'present' ? '' : 'absent'}`, role: 'option', id: `tile-${id}`,
    'aria-selected': String(choice.has(id)), 'aria-label': labelOf(tiles, place), dataset: { id },
  }, picture, el('span', { class: 'check', 'aria-hidden': 'true' }, icon('check')),
  kind === 'video' || kind === 'audio'
    ? el('span', { class: 'play', 'aria-hidden': 'true' }, icon('play')) : null)
}

// Loading

function load(missing) {
  for (const [section, control] of loading) {
    if (missing.includes(section) || awaited.has(section)) continue
    control.abort()
    loading.delete(section)
  }
  for (const section of missing) {
    if (loading.size >= LOADS_AT_ONCE) return
    if (!loading.has(section)) loadSection(section).catch((fault) => fault.name === 'AbortError' || toast(fault))
  }
}

async function loadSection(section) {
  const control = new AbortController()
  loading.set(section, control)
  try {
    const tiles = await api(`/files/months/${section.month}`, {
      query: { page: section.page }, signal: control.signal,
    })
    section.tiles = tiles
    section.isStale = false
    const before = section.height
    const isAbove = section.top + section.height <= scroller.position
    section.files = tiles.ids.length
    measure(section)
    placeSections(isAbove ? section.height - before : 0)
    forget()
  } finally {
    if (loading.get(section) === control) loading.delete(section)
  }
  render()
}

/** Lets go of the tiles of what is far away. */
function forget() {
  const loaded = isSearch ? [] : sections.filter((each) => each.tiles)
  if (loaded.length <= MOST_SECTIONS) return
  const middle = scroller.position
  loaded.sort((one, other) => Math.abs(one.top - middle) - Math.abs(other.top - middle))
  for (const each of loaded.slice(MOST_SECTIONS / 2)) each.tiles = each.layout = null
}

let isLoadingMore = false
async function loadMore() {
  if (isLoadingMore) return
  isLoadingMore = true
  try {
    await more(nextCursor.filters, nextCursor.cursor)
  } catch (fault) {
    nextCursor = null
    toast(fault)
  }
  isLoadingMore = false
  render()
}

// Months

/** The months as a list at the side. A search begins with one: how many of it fit is not counted. */
function fillRail(items) {
  marked = null
  jump.parentElement.hidden = !items.length
  const byYear = Map.groupBy(items, ({ month }) => month.slice(0, 4))
  rail.replaceChildren(...[...byYear].map(([year, months]) => el('section', {},
    el('h2', {}, year),
    months.map(({ month, files }) => el('button', {
      type: 'button', class: 'quiet', dataset: { month }, title: isSearch ? null : t('library.count', { count: number(files) }),
      'aria-label': nameOfMonth(month) + (isSearch ? '' : `: ${t('library.count', { count: number(files) })}`),
      onclick: () => goToMonth(month),
    }, new Intl.DateTimeFormat(language, { month: 'short', timeZone: 'UTC' })
      .format(new Date(`${month}-01T00:00:00Z`)))))))
  jump.replaceChildren(...items.map(({ month }) => el('option', { value: month }, nameOfMonth(month))))
}

function goToMonth(month) {
  const section = sections.find((each) => (isSearch ? each.month === month : each.month <= month))
  if (section) return scroller.scrollTo(section.top)
  if (!isSearch) return undefined
  writeQuery({ month: month === jump.options[0].value ? null : month })
  return open({ keepsChoice: true })
}

async function goToEnd() {
  await ready(sections.at(-1))
  scroller.scrollTo(Number.MAX_SAFE_INTEGER)
}

/** To where somebody was; heights above it may have been others then. */
async function goBackTo(state, month) {
  const section = sections.find((each) => each.month === state?.month && each.page === state.page)
  if (section && month === section.month) {
    await ready(section)
    scroller.scrollTo(section.top + state.part * section.height)
  } else if (month) goToMonth(month)
  else scroller.scrollTo(0)
}

function markMonth(month) {
  if (month === marked) return
  marked = month
  jump.value = month
  for (const each of rail.querySelectorAll('[aria-current]')) each.removeAttribute('aria-current')
  const button = rail.querySelector(`[data-month="${month}"]`)
  button?.setAttribute('aria-current', 'true')
  if (button && !rail.matches(':hover')) reveal(button, rail)
}

const remember = debounced(() => {
  if (isSearch || !sections.length) return
  const isTop = scroller.position < HEADING_PX
  const { month, page, top, height } = sections[sectionAt(scroller.position + 1)] // sums of heights are not exact
  writeQuery({ month: isTop ? null : month }, { replace: true })
  history.replaceState({ month, page, part: Math.max(0, scroller.position - top) / height }, '')
}, 200)
grid.addEventListener('scroll', remember, { passive: true })
jump.addEventListener('change', () => goToMonth(jump.value))

// Filters

function fillForm(query) {
  for (const name of FILTERS) {
    const field = form.elements[name]
    if (!field || field.value === (query[name] ?? '')) continue
    if (field.tagName === 'SELECT' && query[name] && ![...field.options].some((each) => each.value === query[name])) {
      field.append(el('option', { value: query[name] }, query[name]))
    }
    field.value = query[name] ?? ''
  }
  const rest = form.querySelector('details')
  if (rest && FILTERS.slice(3).some((name) => query[name])) rest.open = true
}

const search = (replace) => {
  const values = Object.fromEntries(FILTERS.filter((name) => form.elements[name])
    .map((name) => [name, form.elements[name].value.trim()]))
  writeQuery({ ...values, month: null }, { replace })
  open()
}
form.addEventListener('input', debounced((event) => { if (event.target.type === 'search') search(true) }, 300))
form.addEventListener('change', (event) => { if (event.target.type !== 'search') search(false) })
form.addEventListener('submit', (event) => {
  event.preventDefault()
  search(false)
})
document.getElementById('clear').addEventListener('click', () => {
  writeQuery(Object.fromEntries(FILTERS.map((name) => [name, null])))
  open()
  grid.focus()
})
onQuery(() => open())

async function fillProjects() {
  const { items } = await api('/projects', { query: { limit: 200 } })
  form.elements.project.append(...items.map(({ slug, name }) => el('option', { value: slug }, name)))
  fillForm(readQuery())
}

// The file that keys act on

const fileOf = ({ section, place }) => section.tiles.ids[place]

function setCurrent(next, { scrolls = true } = {}) {
  if (!next?.section.tiles) return
  shown.get(current && current.section.tiles && fileOf(current))?.classList.remove('current')
  current = next
  const row = next.section.layout.rows.find((each) => each.last >= next.place)
  const top = next.section.top + (next.section.hasHeading ? HEADING_PX : 0) + row.top
  if (scrolls && top < scroller.position) scroller.scrollTo(top - HEADING_PX)
  else if (scrolls && top + row.height > scroller.position + scroller.height) {
    scroller.scrollTo(top + row.height + GAP - scroller.height)
  }
  const element = shown.get(fileOf(next))
  element?.classList.add('current')
  grid.setAttribute('aria-activedescendant', `tile-${fileOf(next)}`)
}

async function ready(section) {
  if (!section || section.tiles) return section
  awaited.add(section)
  try {
    await loadSection(section)
  } finally {
    awaited.delete(section)
  }
  return section
}

async function step(by) {
  if (!current) return setCurrent(firstShown())
  let at = sections.indexOf(current.section)
  let place = current.place + by
  while (place < 0 || place >= sections[at].tiles.ids.length) {
    if (place >= 0) place -= sections[at].tiles.ids.length
    at += by > 0 ? 1 : -1
    if (!await ready(sections[at])) return
    if (place < 0) place += sections[at].tiles.ids.length
  }
  setCurrent({ section: sections[at], place })
}

/** To the nearest picture in the row below (1) or above (-1). */
async function stepRow(by) {
  if (!current) return setCurrent(firstShown())
  let { section } = current
  const at = section.layout.rows.findIndex((each) => each.last >= current.place)
  const from = section.layout.rows[at]
  const middle = from.lefts[current.place - from.first] + from.widths[current.place - from.first] / 2
  let row = section.layout.rows[at + by]
  if (!row) {
    section = await ready(sections[sections.indexOf(section) + by])
    row = section?.layout.rows.at(by > 0 ? 0 : -1)
  }
  if (!row) return
  let nearest = 0
  row.lefts.forEach((left, place) => {
    const away = (each) => Math.abs(row.lefts[each] + row.widths[each] / 2 - middle)
    if (away(place) < away(nearest)) nearest = place
  })
  setCurrent({ section, place: row.first + nearest })
}

function firstShown() {
  const section = sections[sectionAt(scroller.position)]
  const row = section?.layout?.rows.find((each) => section.top + each.top + HEADING_PX >= scroller.position)
  return section?.tiles ? { section, place: row?.first ?? 0 } : null
}

/** Chooses the files from one to another; what lies between is loaded, as far as it can be chosen. */
async function chooseBetween(one, other) {
  const places = [one, other].map(({ section }) => sections.indexOf(section)).sort((a, b) => a - b)
  let files = 0
  for (const section of sections.slice(places[0], places[1] + 1)) {
    if (files < MOST_CHOSEN) await ready(section)
    files += section.files
  }
  choice.replaceWith(between(one, other))
}

/** Ids from one file to another, of what is loaded, in the order shown. */
function between(one, other) {
  const key = ({ section, place }) => [sections.indexOf(section), place]
  const [[fromSection, fromPlace], [toSection, toPlace]] = [key(one), key(other)].sort(
    ([a, b], [c, d]) => a - c || b - d)
  const ids = []
  for (let at = fromSection; at <= toSection; at++) {
    sections[at].tiles?.ids.forEach((id, place) => {
      const isAfter = at > fromSection || place >= fromPlace
      if (isAfter && (at < toSection || place <= toPlace)) ids.push(id)
    })
  }
  return ids
}

let anchor = null
async function extend(move) {
  anchor ??= current ?? firstShown()
  await move()
  if (anchor && current) await chooseBetween(anchor, current)
}

function openFile(id) {
  const at = current?.section ?? sections.find((each) => each.tiles?.ids.includes(id))
  sessionStorage.setItem('library.neighbours', JSON.stringify(
    [-1, 0, 1].flatMap((by) => sections[sections.indexOf(at) + by]?.tiles?.ids ?? [])))
  location.assign(`/library/${id}`)
}

/** A handler for when no other control has the focus; it moves, unless nothing is asked for. */
function onGrid(act, { keepsAnchor = false } = {}) {
  return ({ target }) => {
    if (target !== grid && target !== document.body) return false
    if (!keepsAnchor) anchor = null
    if (target !== grid) grid.focus({ preventScroll: true })
    act()
    return true
  }
}

onKey({
  Enter: [t('library.keys.open'), onGrid(() => { if (current) openFile(fileOf(current)) })],
  ' ': [t('library.keys.choose'), onGrid(() => { if (current) choice.toggle(fileOf(current)) })],
  ArrowLeft: [t('library.keys.move'), onGrid(() => step(-1))],
  ArrowRight: [t('library.keys.move'), onGrid(() => step(1))],
  ArrowUp: [t('library.keys.move'), onGrid(() => stepRow(-1))],
  ArrowDown: [t('library.keys.move'), onGrid(() => stepRow(1))],
  'Shift+ArrowLeft': [t('library.keys.extend'), onGrid(() => extend(() => step(-1)), { keepsAnchor: true })],
  'Shift+ArrowRight': [t('library.keys.extend'), onGrid(() => extend(() => step(1)), { keepsAnchor: true })],
  'Shift+ArrowUp': [t('library.keys.extend'), onGrid(() => extend(() => stepRow(-1)), { keepsAnchor: true })],
  'Shift+ArrowDown': [t('library.keys.extend'), onGrid(() => extend(() => stepRow(1)), { keepsAnchor: true })],
  Home: [t('library.keys.newest'), () => { scroller.scrollTo(0) }],
  End: [t('library.keys.oldest'), () => { goToEnd() }],
  Escape: [t('library.keys.clear'), () => { choice.clear() }],
  p: [t('library.keys.play'), () => { if (current) play(shown.get(fileOf(current))) }],
  d: [t('library.keys.download'), () => { choice.download() }],
  '/': [t('library.keys.search'), () => { form.elements.text.focus() }],
})

// Pointer: a click opens, a drag chooses

function placeOf(id) {
  const section = sections.find((each) => each.tiles?.ids.includes(id))
  return section ? { section, place: section.tiles.ids.indexOf(id) } : null
}

function play(element) {
  if (!element?.querySelector('.play')) return
  const isSound = element.querySelector('anime-picture').getAttribute('kind') === 'audio'
  const src = contentOf(element.dataset.id)
  const player = el(isSound ? 'audio' : 'video', {
    src, controls: true, autoplay: true, loop: !isSound,
    // No player takes WebP, GIF and APNG.
    onerror: () => { if (!isSound) player.replaceWith(el('img', { src, alt: '' })) },
  })
  element.querySelector('.play').replaceWith(player)
  player.play().catch(() => {})
}

grid.addEventListener('click', (event) => {
  const element = event.target.closest('.tile')
  if (!element || dragged || event.target.closest('video, audio')) return
  const id = Number(element.dataset.id)
  const place = placeOf(id)
  if (event.target.closest('.play')) play(element)
  else if (event.shiftKey && (anchor ?? current)) {
    anchor ??= current
    chooseBetween(anchor, place).catch(toast)
  } else if (event.target.closest('.check') || event.ctrlKey || event.metaKey || choice.size) {
    choice.toggle(id)
    anchor = place
  } else {
    current = place
    openFile(id)
    return
  }
  setCurrent(place, { scrolls: false })
})
grid.addEventListener('auxclick', (event) => {
  const element = event.target.closest('.tile')
  if (element && event.button === 1) window.open(`/library/${element.dataset.id}`)
})

let drag = null
let dragged = false
const START_PX = 6

grid.addEventListener('pointerdown', (event) => {
  dragged = false
  if (event.pointerType === 'touch' || event.button || event.target.closest('video, audio')) return
  if (event.offsetX > grid.clientWidth && event.target === grid) return // the scroll bar
  const box = grid.getBoundingClientRect()
  drag = {
    x: event.clientX - box.left, y: event.clientY - box.top + scroller.position,
    clientX: event.clientX, clientY: event.clientY,
    kept: event.ctrlKey || event.metaKey || event.shiftKey ? choice.ids : [],
  }
})

addEventListener('pointermove', (event) => {
  if (!drag) return
  if (!drag.frame && Math.hypot(event.clientX - drag.clientX, event.clientY - drag.clientY) < START_PX) return
  Object.assign(drag, { clientX: event.clientX, clientY: event.clientY })
  if (drag.frame) return
  dragged = true
  getSelection()?.removeAllRanges()
  drag.frame = el('div', { class: 'frame', 'aria-hidden': 'true' })
  spacer.append(drag.frame)
  requestAnimationFrame(dragOn)
})

function dragOn() {
  if (!drag?.frame) return
  const box = grid.getBoundingClientRect()
  const beyond = Math.max(0, drag.clientY - box.bottom + 40) - Math.max(0, box.top + 40 - drag.clientY)
  if (beyond) grid.scrollTop += Math.max(-30, Math.min(30, beyond / 2))
  const [x, y] = [drag.clientX - box.left, drag.clientY - box.top + scroller.position]
  const [left, right] = [Math.min(x, drag.x), Math.max(x, drag.x)]
  const [top, bottom] = [Math.min(y, drag.y), Math.max(y, drag.y)]
  drag.frame.style.transform = `translate(${left}px, ${top - scroller.base}px)`
  drag.frame.style.width = `${right - left}px`
  drag.frame.style.height = `${bottom - top}px`
  choice.replaceWith([...drag.kept, ...within(left, right, top, bottom)])
  requestAnimationFrame(dragOn)
}

/** The files whose tiles the rectangle touches. */
function within(left, right, top, bottom) {
  const ids = []
  for (let at = sectionAt(top); at < sections.length && sections[at].top < bottom; at++) {
    const wanted = new Map()
    if (sections[at].tiles) collect(sections[at], top, bottom, wanted)
    for (const [id, { row, place }] of wanted) {
      const from = row.lefts[place - row.first] + GAP
      if (from < right && from + row.widths[place - row.first] > left) ids.push(id)
    }
  }
  return ids
}

function endDrag() {
  drag?.frame?.remove()
  drag = null
}
addEventListener('pointerup', endDrag)
addEventListener('pointercancel', endDrag)
grid.addEventListener('dragstart', (event) => event.preventDefault())

function choiceChanged() {
  for (const [id, element] of shown) element.setAttribute('aria-selected', String(choice.has(id)))
  grid.classList.toggle('choosing', choice.size > 0)
}

// Life

grid.addEventListener('focus', () => { if (!current) setCurrent(firstShown(), { scrolls: false }) })
new ResizeObserver(() => {
  const above = sections[sectionAt(scroller.position)]
  if (!above || grid.clientWidth - 2 * GAP === width) return render()
  const part = (scroller.position - above.top) / above.height
  layOut()
  scroller.scrollTo(above.top + part * above.height)
}).observe(grid)

const refresh = debounced(async () => {
  if (isSearch) return
  const index = await api('/files/months')
  const isTop = scroller.position < HEADING_PX
  const before = sections.length && sections.reduce((sum, each) => sum + each.height, 0)
  setMonths(index)
  const after = sections.reduce((sum, each) => sum + each.height, 0)
  if (isTop) scroller.scrollTo(0)
  else scroller.scrollTo(scroller.position + after - before)
}, 1000)
live.subscribe('*', ({ type, data }) => {
  if (type === 'reconnected' || data.status === 'completed') refresh()
})

fillProjects().catch(toast)
open()
