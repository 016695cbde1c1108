// <anime-picture file-id="7" kind="image" colours="…" alt="…">: a file's small picture.

import { icon } from './dom.js'
import { addressOf } from './thumbhash.js'
import { t } from './words.js'

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
    this.style.backgroundImage = colours ? `url(${addressOf(colours)})` : ''
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
