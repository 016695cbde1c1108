// The files that are chosen in the library, and what can be done with them.

import { api, withQuery } from './api.js'
import { dialog, el, toast } from './dom.js'
import { number, size, t } from './words.js'

export const MOST_CHOSEN = 2000
const MOST_DRAWN = 500 // onto a contact sheet

/** Ids as the API reads them: 3,7-12. */
export function ranges(ids) {
  const sorted = [...ids].sort((one, other) => one - other)
  const parts = []
  for (const id of sorted) {
    const last = parts.at(-1)
    if (last && last[1] === id - 1) last[1] = id
    else parts.push([id, id])
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(',')
}

export class Choice {
  #ids = new Set()
  #bar = document.getElementById('choice')

  constructor({ changed }) {
    this.changed = changed
    const act = (id, action) => document.getElementById(id).addEventListener('click', () => action())
    act('choice-download', () => this.download())
    act('choice-sheet', () => this.sheet())
    act('choice-compare', () => location.assign(withQuery('/review', { compare: this.ids.join(',') })))
    act('choice-clear', () => this.clear())
  }

  get size() { return this.#ids.size }

  get ids() { return [...this.#ids] }

  has(id) { return this.#ids.has(id) }

  clear() { this.replaceWith([]) }

  toggle(id) {
    if (!this.#ids.delete(id)) this.#ids.add(id)
    this.#show()
  }

  replaceWith(ids) {
    if (!ids.length && !this.#ids.size) return
    this.#ids = new Set(ids)
    this.#show()
  }

  #show() {
    if (this.#ids.size > MOST_CHOSEN) {
      this.#ids = new Set([...this.#ids].slice(0, MOST_CHOSEN))
      toast(t('library.most_chosen', { count: number(MOST_CHOSEN) }))
    }
    this.#bar.hidden = !this.#ids.size
    document.getElementById('choice-count').textContent = t('library.chosen', { count: number(this.#ids.size) })
    document.getElementById('choice-compare').hidden = this.#ids.size !== 2
    this.changed()
  }

  /** Downloads them as a ZIP; says before which are gone, if any are. */
  async download() {
    if (!this.size) return
    const ids = ranges(this.#ids)
    try {
      const contents = await api('/files/zip/contents', { query: { ids } })
      if (contents.missing.length && !await this.#agrees(contents)) return
      const link = el('a', { href: withQuery('/api/anime/files/zip', { ids }), download: 'anime-files.zip' })
      document.body.append(link)
      link.click()
      link.remove()
      toast(t('library.downloading', { count: number(contents.files), size: size(contents.size_bytes) }))
    } catch (fault) {
      toast(fault)
    }
  }

  async #agrees({ files, missing }) {
    const list = el('ul', { class: 'missing' },
      missing.slice(0, 50).map((each) => el('li', {}, `#${each.file_id}: ${each.reason}`)))
    const actions = files ? [{ label: t('library.download_rest', { count: number(files) }), value: 'yes', kind: 'primary' }] : []
    return await dialog({
      title: t('library.are_gone', { count: number(missing.length) }),
      body: [el('p', {}, t('library.are_gone_hint')), list], actions,
    }) === 'yes'
  }

  async sheet() {
    toast(t(this.size > MOST_DRAWN ? 'library.drawing_first' : 'library.drawing_sheet', { count: number(MOST_DRAWN) }))
    try {
      const { pages } = await api('/sheets', { method: 'POST', body: { file_ids: this.ids.slice(0, MOST_DRAWN) } })
      await dialog({
        title: t('library.sheet'), wide: true,
        body: pages.map((page) => el('a', { href: page, target: '_blank' },
          el('img', { src: page, alt: t('library.sheet') }))),
      })
    } catch (fault) {
      toast(fault)
    }
  }
}
