// A scroll bar over more pixels than a browser allows (2^24 in some).
//
// The content has a virtual height. Where it is higher than MOST_PX, the bar is shorter than it:
// wheel and keys move by pixels as ever, a jump of the bar moves in proportion. `base` is what
// lies between where the bar is and where the content is.

export const MOST_PX = 8_000_000
const REST_MS = 160

export class Scroller {
  #total = 0
  #base = 0
  #last = 0
  #rest = 0

  constructor(viewport, spacer, onMove) {
    Object.assign(this, { viewport, spacer, onMove })
    viewport.addEventListener('scroll', () => this.#scrolled(), { passive: true })
  }

  get height() { return this.viewport.clientHeight }

  /** How far down the virtual content is shown. */
  get position() { return this.#last + this.#base }

  /** What to take off a virtual place for one in the bar's content. */
  get base() { return this.#base }

  get #bar() { return Math.min(this.#total, MOST_PX) }

  get #end() { return Math.max(0, this.#total - this.height) }

  /** The virtual height is another; `shift`: so much more of it lies above what is shown. */
  resize(total, shift = 0) {
    const position = this.position + shift
    this.#total = total
    this.spacer.style.height = `${this.#bar}px`
    this.#last = this.viewport.scrollTop
    this.#base = Math.min(this.#end, Math.max(0, position)) - this.#last
    if (this.#isStuck) this.scrollTo(this.position)
    else this.#restSoon()
  }

  scrollTo(position) {
    const there = Math.min(this.#end, Math.max(0, position))
    this.viewport.scrollTop = this.#placeOf(there)
    this.#last = this.viewport.scrollTop
    this.#base = there - this.#last
    this.onMove()
  }

  /** Where the bar should be for a position. */
  #placeOf(position) {
    return this.#bar === this.#total || !this.#end
      ? position : (position / this.#end) * (this.#bar - this.height)
  }

  /** Whether the bar is at an end, and the content is not. */
  get #isStuck() {
    const isAtEnd = this.#last >= this.#bar - this.height - 1
    return (this.#last <= 0 && this.position > 1) || (isAtEnd && this.position < this.#end - 1)
  }

  #scrolled() {
    const place = this.viewport.scrollTop
    const distance = Math.abs(place - this.#last)
    this.#last = place
    if (this.#bar < this.#total && distance > 4 * this.height) {
      this.#base = (place / (this.#bar - this.height)) * this.#end - place
    }
    const clamped = Math.min(this.#end, Math.max(0, this.position))
    this.#base = clamped - place
    if (this.#isStuck) this.scrollTo(this.position)
    else {
      this.#restSoon()
      this.onMove()
    }
  }

  /** Once nobody scrolls, the bar goes where it belongs: then it interrupts no movement. */
  #restSoon() {
    clearTimeout(this.#rest)
    this.#rest = setTimeout(() => {
      if (Math.abs(this.#placeOf(this.position) - this.#last) > 1) this.scrollTo(this.position)
    }, REST_MS)
  }
}
