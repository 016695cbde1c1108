// The picked takes in the order of their shots, each for as long as its shot.

import { api } from './api.js'
import { el, icon } from './dom.js'
import { duration, t } from './words.js'

const FRAMES_PER_SECOND = 24 // where no style says it
const SECONDS = 1 // of a shot without a length, as in a timeline that is exported
const AHEAD = 5

/** How many frames a second the project's style says. */
async function rateOf(project) {
  const style = await api(`/projects/${project.slug}/style`).catch(() => null) // there may be none
  return style?.style?.frame_rate || FRAMES_PER_SECOND
}

export class Animatic {
  items = []
  isPlaying = false
  #stage
  #at = 0 // seconds
  #place = -1
  #last = 0
  #isShowing = false
  #parts

  /** `onShot(code)` is called as each begins. */
  constructor(stage, bar, onShot) {
    this.#stage = stage
    this.onShot = onShot
    const parts = ['button', 'input', '.code', '.time', '.marks'].map((each) => bar.querySelector(each))
    const [play, where, code, time, marks] = parts
    play.onclick = () => this.toggle()
    where.oninput = () => this.seek(Number(where.value))
    this.#parts = { play, where, code, time, marks }
    this.#draw()
  }

  /** Takes the shots that have a picked take, from `code` on; how many there are. */
  async load(data, shots, code) {
    const [rate] = await Promise.all([rateOf(data.project), data.wantTakes(shots.map((shot) => shot.code))])
    let at = 0
    this.items = shots.flatMap((shot) => {
      const take = data.takes(shot.code)?.find((each) => each.is_picked)
      if (!take) return []
      const seconds = shot.seconds ?? (shot.frames ? shot.frames / rate : SECONDS)
      const item = { code: shot.code, take, seconds, at }
      at += seconds
      return [item]
    })
    this.seconds = at
    this.#parts.where.max = String(at)
    this.#parts.marks.replaceChildren(...this.items.map((item) => el('i', { style: { flex: String(item.seconds) } })))
    const first = this.items.find((item) => item.code === code)
    await this.seek(first?.at ?? 0)
    return this.items.length
  }

  toggle(isPlaying = !this.isPlaying) {
    if (isPlaying && this.#at >= this.seconds) this.seek(0)
    this.isPlaying = isPlaying && this.items.length > 0
    this.#last = performance.now()
    if (this.isPlaying) requestAnimationFrame((now) => this.#tick(now))
    if (this.#stage.film) this.isPlaying ? this.#stage.film.play().catch(() => {}) : this.#stage.film.pause()
    this.#draw()
  }

  step(count) {
    const item = this.items[Math.min(this.items.length - 1, Math.max(0, this.#place + count))]
    if (item) this.seek(item.at)
  }

  async seek(seconds) {
    this.#at = Math.min(this.seconds, Math.max(0, seconds))
    await this.#showWhatIsDue()
    this.#draw()
  }

  stop() {
    this.isPlaying = false
    this.items = []
  }

  #tick(now) {
    if (!this.isPlaying) return
    // While the next picture still loads, the time stands.
    if (!this.#isShowing) this.#at = Math.min(this.seconds, this.#at + (now - this.#last) / 1000)
    this.#last = now
    this.#showWhatIsDue()
    this.#draw()
    if (this.#at >= this.seconds) this.toggle(false)
    else requestAnimationFrame((next) => this.#tick(next))
  }

  async #showWhatIsDue() {
    const found = this.items.findLastIndex((item) => item.at <= this.#at + 1e-6)
    if (found < 0 || found === this.#place) return
    this.#place = found
    const item = this.items[found]
    this.#isShowing = true
    this.onShot(item.code)
    await this.#stage.show(0, item.take)
    if (this.#place === found) this.#isShowing = false
    this.#stage.preload(this.items.slice(found + 1, found + AHEAD).map((each) => each.take))
  }

  #draw() {
    const { play, where, code, time } = this.#parts
    if (play.dataset.playing !== String(this.isPlaying)) {
      play.dataset.playing = String(this.isPlaying)
      play.ariaLabel = t(this.isPlaying ? 'review.pause' : 'review.play')
      play.replaceChildren(icon(this.isPlaying ? 'pause' : 'play'))
    }
    const item = this.items[this.#place]
    where.value = String(this.#at)
    where.ariaValueText = `${item?.code ?? ''} ${duration(this.#at)}`
    code.textContent = item?.code ?? ''
    time.textContent = `${duration(this.#at)} / ${duration(this.seconds ?? 0)}`
  }
}
