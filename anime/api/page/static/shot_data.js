// The shots of a project and their takes, kept as they are now for the views that show them.

import { api } from './api.js'
import { el, icon } from './dom.js'
import { live } from './live.js'
import './picture.js'
import { t } from './words.js'

const PAGE_SHOTS = 100
const CHUNK_SHOTS = 40 // whose takes come in one answer
const AT_ONCE = 3 // answers that are waited for
const LIST_MS = 200 // after the last of a list's events
export const STATES = ['missing', 'rendering', 'to review', 'approved', 'stale']
const KEPT_PROJECT = 'anime_project'

/** All projects, newest first. */
export async function listProjects() {
  const found = []
  let cursor = null
  do {
    const page = await api('/projects', { query: { limit: PAGE_SHOTS, cursor } })
    found.push(...page.items)
    cursor = page.next_cursor
  } while (cursor)
  return found
}

/** The project that the address names by slug, id or name; else the last one, else the newest. */
export function chosenProject(projects, asked) {
  const kept = asked || localStorage.getItem(KEPT_PROJECT)
  const found = projects.find((each) => [each.slug, each.id, each.name].includes(kept)) ?? (asked ? null : projects[0])
  if (found) localStorage.setItem(KEPT_PROJECT, found.slug)
  return found
}

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' })
export const inOrder = (texts) => [...new Set(texts)].sort(collator.compare)

/** Whether the shot fits what a view shows: {episode, character, state}, each of which may be missing. */
export function fits(shot, { episode, character, state } = {}) {
  return (!episode || shot.episode === episode)
    && (!character || shot.characters.includes(character))
    && (!state || state.split(',').includes(shot.state))
}

/** The take that stands for a shot: the picked one, else the newest that is not rejected. */
export const bestTake = (takes) =>
  takes.find((take) => take.is_picked) ?? takes.findLast((take) => take.verdict !== 'rejected')

export const kindOf = (take) => (take.media_type ?? 'image/').split('/')[0]

/** What was said last of a take: picked, approved, rejected, or open. */
export const verdictOf = (take) => (take.is_picked ? 'picked' : take.verdict ?? 'open')

const MARKS = { picked: 'pick', approved: 'check', rejected: 'cross' }

/** A take's small picture with its number and verdict, as a link or a button. */
export function takeFace(take, tag, attributes) {
  const verdict = verdictOf(take)
  const label = t('shots.take', { number: take.number, verdict: t(`shots.verdict.${verdict}`) })
  const ratio = take.width && take.height ? Math.min(2.4, Math.max(0.5, take.width / take.height)) : 16 / 9
  return el(tag, {
    class: `take ${verdict}`, title: label, 'aria-label': label, style: { 'aspect-ratio': String(ratio) }, ...attributes,
  }, el('anime-picture', { 'file-id': take.file_id, kind: kindOf(take), colours: take.colours }),
  el('span', { class: 'take-mark' }, take.number, verdictIcon(take), take.notes.length > 0 && icon('note')))
}

export const verdictIcon = (take) => MARKS[verdictOf(take)] && icon(MARKS[verdictOf(take)])

const STATE_KINDS = { missing: 'bad', 'to review': 'warn', approved: 'good', stale: 'warn' }

export const stateBadge = (state) =>
  el('span', { class: `badge ${STATE_KINDS[state] ?? ''}` }, t(`shots.state.${state.replace(' ', '_')}`))

/**
 * Tells: 'shots' when shots have come or gone, 'takes' when takes have, and 'changed' (detail:
 * {code, take, change}) when somebody has reviewed a take, or a job of the shot has begun or ended.
 * What somebody's list adds or changes is read anew.
 */
export class ShotData extends EventTarget {
  shots = []
  isComplete = false
  #places = new Map() // code → place
  #takes = new Map() // code → takes
  #wanted = new Map() // first place of a chunk → its promise
  #queue = []
  #underWay = 0
  #unsubscribe
  #loads = 0
  #nextLoad

  constructor(project) {
    super()
    this.project = project
    this.#unsubscribe = live.subscribeShots(project.slug, (message) => this.#heard(message))
  }

  close() {
    this.#unsubscribe()
    clearTimeout(this.#nextLoad)
    this.#loads++
  }

  /** Reads all shots, page by page; those that are shown stay until the new ones are there. */
  async load() {
    const load = ++this.#loads
    const found = []
    let cursor = null
    do {
      const page = await api('/shots', { query: { project: this.project.slug, limit: PAGE_SHOTS, cursor } })
      if (load !== this.#loads) return
      found.push(...page.items)
      cursor = page.next_cursor
      if (found.length > this.shots.length || !cursor) this.#take(found, !cursor)
    } while (cursor)
  }

  /** Reads all shots once a list's events have come. */
  #loadSoon() {
    clearTimeout(this.#nextLoad)
    this.#nextLoad = setTimeout(() => this.load().catch(() => {}), LIST_MS)
  }

  #take(shots, isComplete) {
    const isMoved = this.shots.some((shot, place) => shot.code !== shots[place]?.code)
    if (isMoved) this.#wanted.clear()
    this.shots = [...shots]
    this.isComplete = isComplete
    this.#places = new Map(shots.map((shot, place) => [shot.code, place]))
    this.dispatchEvent(new Event('shots'))
  }

  shot(code) {
    return this.shots[this.#places.get(code)]
  }

  /** The takes of a shot as far as they are known; undefined if they have not come. */
  takes(code) {
    return this.#takes.get(code)
  }

  /** Reads the takes of these shots if they are not known, some shots at a time. */
  wantTakes(codes) {
    const chunks = new Set(codes.filter((code) => !this.#takes.has(code) && this.#places.has(code))
      .map((code) => Math.floor(this.#places.get(code) / CHUNK_SHOTS) * CHUNK_SHOTS))
    return Promise.all([...chunks].map((first) => this.#chunk(first)))
  }

  #chunk(first) {
    const place = this.#queue.findIndex((each) => each.first === first)
    if (place >= 0) this.#queue.push(...this.#queue.splice(place, 1)) // the newest wish comes first
    if (!this.#wanted.has(first)) {
      this.#wanted.set(first, new Promise((resolve) => this.#queue.push({ first, resolve })))
    }
    this.#work()
    return this.#wanted.get(first)
  }

  async #work() {
    if (this.#underWay >= AT_ONCE || !this.#queue.length) return
    const { first, resolve } = this.#queue.pop()
    this.#underWay++
    const shots = this.shots.slice(first, first + CHUNK_SHOTS)
    try {
      const query = { project: this.project.slug, limit: CHUNK_SHOTS, cursor: this.shots[first - 1]?.code }
      const page = await api('/takes', { query })
      for (const shot of shots) this.#takes.set(shot.code, [])
      for (const take of page.items) this.#takes.get(take.shot)?.push(take)
      this.dispatchEvent(new Event('takes'))
    } catch (fault) {
      this.#wanted.delete(first)
      this.dispatchEvent(new CustomEvent('fault', { detail: fault }))
    } finally {
      this.#underWay--
      resolve()
      this.#work()
    }
  }

  /** Reads the takes of one shot, known or not. */
  async readTakes(code) {
    const page = await api('/takes', { query: { project: this.project.slug, shot: code } })
    this.#takes.set(code, page.items)
    this.dispatchEvent(new Event('takes'))
    return page.items
  }

  /** Says something of a take; what it leaves is there when this returns. */
  async review(said) {
    const take = await api('/reviews', { method: 'POST', body: { project: this.project.slug, ...said } })
    await this.readTakes(said.shot)
    return take
  }

  async #heard(message) {
    if (message.type === 'reconnected') {
      this.#wanted.clear()
      this.#takes.clear()
      await this.load().catch(() => {}) // the next reconnection tries again
      return
    }
    const { code, change, take, ...counts } = message.data
    if (change === 'list') return this.#loadSoon()
    const shot = this.shot(code)
    if (!shot) return
    Object.assign(shot, Object.fromEntries(
      ['state', 'takes', 'rejected', 'retakes', 'under_way', 'failed'].map((name) => [name, counts[name]])))
    if (change !== 'job' && this.#takes.has(code)) await this.readTakes(code).catch(() => {})
    this.dispatchEvent(new CustomEvent('changed', { detail: { code, take, change } }))
  }
}
