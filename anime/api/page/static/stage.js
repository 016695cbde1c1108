// One take, or two beside or over each other: shown without a flicker, zoomed, with points of notes.

import { el, icon } from './dom.js'
import { contentOf } from './picture.js'
import { kindOf } from './shot_data.js'
import { t } from './words.js'

const proxyOf = (fileId) => `/api/anime/files/${fileId}/proxy`
const PROXY_PX = 1600 // what is larger is shown smaller until somebody zooms
const KEPT = 40 // pictures that are loaded ahead or were seen
const WAITS_AFTER_MS = 200
const MOST_ZOOM = 16

/** A take's picture, film or sound, and when it can be shown at once. */
class Medium {
  constructor(take) {
    this.take = take
    const kind = kindOf(take)
    if (kind === 'image') {
      this.element = new Image()
      this.element.decoding = 'sync'
      this.element.alt = t('review.take_of', { number: take.number, shot: take.shot })
      this.element.draggable = false
    } else {
      this.element = el(kind === 'audio' ? 'audio' : 'video', { loop: true, controls: true, preload: 'auto' })
      this.element.muted = kind === 'video'
      this.element.playsInline = true
    }
    this.isWhole = kind !== 'image' || Math.max(take.width, take.height) <= PROXY_PX
    this.element.src = this.isWhole ? contentOf(take.file_id) : proxyOf(take.file_id)
  }

  /** Shows every pixel of the file, if it has more than were loaded. */
  async makeWhole() {
    if (this.isWhole) return
    this.isWhole = true
    const whole = new Image()
    whole.src = contentOf(this.take.file_id)
    await whole.decode()
    this.element.src = whole.src
  }

  /** Raises if it cannot be shown: the file is gone, or is none. */
  async ready() {
    if (this.element instanceof Image) return this.element.decode()
    if (this.element.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) return undefined
    return new Promise((resolve, reject) => {
      this.element.addEventListener('loadeddata', resolve, { once: true })
      this.element.addEventListener('error', () => reject(this.element.error), { once: true })
      if (this.element.error) reject(this.element.error)
    })
  }

  get ratio() {
    const { element, take } = this
    const [width, height] = element instanceof Image
      ? [element.naturalWidth, element.naturalHeight] : [element.videoWidth, element.videoHeight]
    return width / height || take.width / take.height || 16 / 9
  }
}

export class Stage {
  mode = 'single' // 'side' | 'wipe' | 'difference'
  #root
  #panes
  #media = new Map() // pane:file id → Medium; those used last stand last
  #shown = [null, null]
  #asked = [0, 0]
  #zoom = 1
  #shift = [0, 0]
  #placed = null // takes a point, while somebody chooses one

  constructor(root) {
    this.#root = root
    this.#panes = [0, 1].map(() => {
      const picture = el('div', { class: 'picture' })
      const name = el('span', { class: 'pane-name' })
      return { picture, name, pane: el('div', { class: 'pane' }, picture, name) }
    })
    root.append(...this.#panes.map(({ pane }) => pane))
    this.setMode('single')
    new ResizeObserver(() => this.#layOut()).observe(root)
    root.addEventListener('wheel', (event) => this.#wheel(event), { passive: false })
    root.addEventListener('pointerdown', (event) => this.#press(event))
    root.addEventListener('dblclick', (event) => this.zoom(this.#zoom > 1 ? 1 : 0, event))
  }

  /** 'single', 'side', 'wipe' or 'difference'. */
  setMode(mode) {
    if (mode === this.mode && this.#root.dataset.mode) return
    this.mode = mode
    this.#root.dataset.mode = mode
    if (mode === 'single') this.#put(1, null)
    this.#layOut()
  }

  /** How much of the first take a wipe shows, 0 to 1; how bright a difference is, from 1. */
  set wipe(share) {
    this.#root.style.setProperty('--wipe', `${100 * share}%`)
  }

  set gain(times) {
    this.#root.style.setProperty('--gain', times)
  }

  /** Loads takes before they are asked for. */
  preload(takes, place = 0) {
    for (const take of takes) this.#medium(place, take).ready().catch(() => {}) // said when it is shown
  }

  /** Shows a take once it is decoded; what was shown stays until then. False if another was asked for. */
  async show(place, take) {
    const asked = ++this.#asked[place]
    const { pane, picture } = this.#panes[place]
    if (!take) {
      this.#put(place, null)
      return true
    }
    const medium = this.#medium(place, take)
    if (this.#shown[place] === medium) return true
    const timer = setTimeout(() => pane.classList.add('waits'), WAITS_AFTER_MS)
    try {
      await medium.ready()
      if (asked !== this.#asked[place]) return false
      this.#put(place, medium)
    } catch {
      if (asked !== this.#asked[place]) return false
      this.#put(place, null)
      picture.append(el('p', { class: 'gone', role: 'alert' }, t('review.gone', { number: take.number })))
      this.#media.delete(`${place}:${take.file_id}`) // it may be there again
    } finally {
      clearTimeout(timer)
      if (asked === this.#asked[place]) pane.classList.remove('waits')
    }
    return true
  }

  /** The film or sound that the first pane shows; null if it shows a picture. */
  get film() {
    const element = this.#shown[0]?.element
    return element instanceof HTMLMediaElement ? element : null
  }

  #put(place, medium) {
    const { picture, name } = this.#panes[place]
    name.textContent = medium ? t('review.take', { number: medium.take.number }) : ''
    if (this.#shown[place]?.element instanceof HTMLMediaElement) this.#shown[place].element.pause()
    this.#shown[place] = medium
    picture.replaceChildren(...(medium ? [medium.element] : []))
    this.#layOut()
    if (this.film && medium === this.#shown[0]) this.film.play().catch(() => {}) // browsers may want a press first
  }

  #medium(place, take) {
    const key = `${place}:${take.file_id}`
    const medium = this.#media.get(key) ?? new Medium(take)
    this.#media.delete(key)
    this.#media.set(key, medium)
    for (const [old, each] of this.#media) {
      if (this.#media.size <= KEPT) break
      if (!this.#shown.includes(each)) this.#media.delete(old)
    }
    return medium
  }

  // ---- size and place

  #layOut() {
    for (const [place, { pane, picture }] of this.#panes.entries()) {
      const medium = this.#shown[place]
      const ratio = medium?.ratio ?? 16 / 9
      const { clientWidth: width, clientHeight: height } = pane
      const fitted = Math.min(width, height * ratio)
      picture.style.setProperty('inline-size', `${fitted}px`)
      picture.style.setProperty('block-size', `${fitted / ratio}px`)
      picture.style.setProperty('transform', `translate(${this.#shift[0]}px, ${this.#shift[1]}px) scale(${this.#zoom})`)
      picture.style.setProperty('--zoom', this.#zoom)
    }
    this.#root.classList.toggle('zoomed', this.#zoom > 1)
    if (this.#zoom === 1 && this.mode !== 'difference') return
    for (const medium of this.#shown) medium?.makeWhole().catch(() => {}) // what is there stays
  }

  /** Zooms so many times, about the pointer; 0 is to a pixel of the picture for each of the screen. */
  zoom(times, event) {
    const { pane, picture } = this.#panes[0]
    const medium = this.#shown[0]
    if (!medium) return
    const pixels = (medium.take.width || medium.element.naturalWidth || medium.element.videoWidth || 0) / devicePixelRatio
    const wanted = times || Math.max(1.5, pixels / picture.clientWidth)
    const next = Math.min(MOST_ZOOM, Math.max(1, wanted))
    const box = pane.getBoundingClientRect()
    const from = event
      ? [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2] : [0, 0]
    const factor = next / this.#zoom
    this.#shift = next === 1 ? [0, 0] : this.#shift.map((shift, axis) => from[axis] - (from[axis] - shift) * factor)
    this.#zoom = next
    this.#layOut()
  }

  zoomBy(factor, event) {
    this.zoom(this.#zoom * factor, event)
  }

  #wheel(event) {
    event.preventDefault()
    this.zoomBy(Math.exp(-event.deltaY / 300), event)
  }

  #press(event) {
    if (event.button || event.target.closest('button, input, video, audio, a')) return
    if (this.#placed) {
      this.#placed(this.pointAt(event))
      event.preventDefault()
      return
    }
    const start = [event.clientX - this.#shift[0], event.clientY - this.#shift[1]]
    const isWipe = this.mode === 'wipe' && this.#zoom === 1
    const move = (moved) => {
      if (isWipe) this.onWipe?.(this.#shareAt(moved.clientX))
      else if (this.#zoom > 1) {
        this.#shift = [moved.clientX - start[0], moved.clientY - start[1]]
        this.#layOut()
      }
    }
    if (isWipe) move(event)
    const pressed = new AbortController()
    this.#root.setPointerCapture(event.pointerId)
    this.#root.addEventListener('pointermove', move, pressed)
    for (const end of ['pointerup', 'pointercancel']) {
      this.#root.addEventListener(end, () => pressed.abort(), pressed)
    }
  }

  #shareAt(x) {
    const box = this.#panes[0].picture.getBoundingClientRect()
    return Math.min(1, Math.max(0, (x - box.left) / box.width))
  }

  // ---- points

  /** Where in the first picture an event is; null if it is beside it. */
  pointAt({ clientX, clientY }) {
    const box = this.#panes[0].picture.getBoundingClientRect()
    const [x, y] = [(clientX - box.left) / box.width, (clientY - box.top) / box.height]
    return x >= 0 && x <= 1 && y >= 0 && y <= 1 ? { x, y } : null
  }

  /** Calls the handler with each point that somebody presses, until it is called with null. */
  choosePoint(handler) {
    this.#placed = handler
    this.#root.classList.toggle('placing', Boolean(handler))
  }

  /** Shows points over the first picture: {point, label, draft}. */
  points(shown) {
    const { picture } = this.#panes[0]
    for (const old of picture.querySelectorAll('.point')) old.remove()
    picture.append(...shown.map(({ point, label, title, draft }) => el('span', {
      class: draft ? 'point draft' : 'point', title,
      style: { 'inset-inline-start': `${100 * point.x}%`, 'inset-block-start': `${100 * point.y}%` },
    }, draft ? icon('note') : label)))
  }
}
