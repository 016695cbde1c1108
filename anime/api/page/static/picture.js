// <anime-picture file-id="7" kind="image" colours="…" alt="…">: a file's small picture.

import { icon } from './dom.js'
import { t } from './words.js'

const SIDE = 4

/** Paints the colours of a picture: 4 × 4 of them, each of 16 bits, in base64. */
export function paintColours(canvas, colours) {
  const bytes = atob(colours)
  if (bytes.length !== 2 * SIDE * SIDE) return
  canvas.width = canvas.height = SIDE
  const context = canvas.getContext('2d')
  const pixels = context.createImageData(SIDE, SIDE)
  for (let place = 0; place < SIDE * SIDE; place++) {
    const value = (bytes.charCodeAt(2 * place) << 8) | bytes.charCodeAt(2 * place + 1)
    const [red, green, blue] = [value >> 11, (value >> 5) & 63, value & 31]
    pixels.data.set([(red * 255) / 31, (green * 255) / 63, (blue * 255) / 31, 255], 4 * place)
  }
  context.putImageData(pixels, 0, 0)
}

export const thumbnailOf = (fileId) => `/api/anime/files/${fileId}/thumbnail`
export const contentOf = (fileId) => `/api/anime/files/${fileId}/content`

class AnimePicture extends HTMLElement {
  static observedAttributes = ['file-id', 'colours', 'kind', 'alt']

  #waits = false

  connectedCallback() {
    this.#draw()
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
    image.onload = () => {
      image.classList.add('shown')
      this.querySelector('canvas')?.remove()
    }
    image.onerror = () => {
      const gone = document.createElement('span')
      gone.className = 'gone'
      gone.textContent = t('picture.gone')
      this.append(gone)
    }
    const kind = this.getAttribute('kind')
    const parts = kind === 'audio' ? [] : [image]
    const colours = this.getAttribute('colours')
    if (colours) {
      const canvas = document.createElement('canvas')
      canvas.setAttribute('aria-hidden', 'true')
      paintColours(canvas, colours)
      parts.unshift(canvas)
    }
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
