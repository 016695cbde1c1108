// <anime-picture file-id="7" kind="image" colours="…" alt="…">: a file's small picture.

import { icon } from './dom.js'
import { t } from './words.js'

const SIDE = 4
// A BMP of 4 × 4 pixels of 24 bits: a browser draws it, smoothed, at a quarter of a canvas's cost.
const BMP = [66, 77, 102, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 24]

/** The address of a picture in the colours that a file's row has: 4 × 4 of 16 bits, in base64. */
export function pictureOf(colours) {
  const given = atob(colours)
  const bytes = new Uint8Array(54 + 3 * SIDE * SIDE)
  bytes.set(BMP)
  for (let place = 0; place < SIDE * SIDE; place++) {
    const value = (given.charCodeAt(2 * place) << 8) | given.charCodeAt(2 * place + 1)
    const row = SIDE - 1 - Math.floor(place / SIDE) // the lowest comes first
    const at = 54 + 3 * (row * SIDE + (place % SIDE))
    bytes.set([(value & 31) * 8.2, ((value >> 5) & 63) * 4.05, (value >> 11) * 8.2], at)
  }
  return `data:image/bmp;base64,${btoa(String.fromCharCode(...bytes))}`
}

export const thumbnailOf = (fileId) => `/api/anime/files/${fileId}/thumbnail`
export const contentOf = (fileId) => `/api/anime/files/${fileId}/content`

class AnimePicture extends HTMLElement {
  static observedAttributes = ['file-id', 'colours', 'kind', 'alt']

  #waits = false

  connectedCallback() {
    this.#draw()
  }

  /** What has not come yet need not come: who scrolls fast passes by hundreds. */
  disconnectedCallback() {
    const image = this.querySelector('img:not(.shown)')
    if (!image) return
    image.onerror = null
    image.removeAttribute('src')
  }

  attributeChangedCallback() {
    if (!this.isConnected || this.#waits) return
    this.#waits = true
    queueMicrotask(() => {
      this.#waits = false
      if (this.isConnected) this.#draw()
    })
  }

  #draw() {
    const fileId = this.getAttribute('file-id')
    if (!fileId) return this.replaceChildren()
    const image = new Image()
    image.alt = this.getAttribute('alt') ?? ''
    image.decoding = 'async'
    image.draggable = false
    image.onload = () => image.classList.add('shown')
    image.onerror = () => {
      const gone = document.createElement('span')
      gone.className = 'gone'
      gone.textContent = t('picture.gone')
      this.append(gone)
    }
    const kind = this.getAttribute('kind')
    const parts = kind === 'audio' ? [] : [image]
    const colours = this.getAttribute('colours')
    this.style.backgroundImage = colours ? `url(${pictureOf(colours)})` : ''
    if (kind === 'video' || kind === 'audio') {
      const badge = document.createElement('span')
      badge.className = 'kind'
      badge.append(icon(kind === 'video' ? 'film' : 'sound'))
      parts.push(badge)
    }
    this.replaceChildren(...parts)
    if (kind !== 'audio') image.src = thumbnailOf(fileId)
  }
}

customElements.define('anime-picture', AnimePicture)
