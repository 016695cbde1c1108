// What the views Now and Make show of jobs: how far each is, what it looks like, its timeline.

import { api } from './api.js'
import { dialog, el, icon, shortened, toast } from './dom.js'
import { ago, duration, moment, number, t, timeOfDay } from './words.js'

export const mayProduce = document.documentElement.dataset.role === 'produce'
const ENDED = ['completed', 'failed', 'cancelled']

export const hasEnded = (job) => ENDED.includes(job.status)

/** When it is expected to be finished: "0:42 left", or nothing. */
export function timeLeft(job) {
  if (!job.expected_at || hasEnded(job)) return ''
  const seconds = (new Date(job.expected_at) - Date.now()) / 1000
  return seconds > 0 ? t('jobs.left', { time: duration(seconds) }) : t('jobs.soon')
}

/** The place of a job's picture; `preview` shows what such an event brings. */
export function frame() {
  const place = el('div', { class: 'frame' }, icon('image'))
  const image = el('img', { alt: t('jobs.preview') })
  place.preview = (data) => {
    image.src = `data:${data.media_type};base64,${data.image}`
    if (!image.isConnected) place.replaceChildren(image)
  }
  return place
}

/**
 * Brings the list's elements in line with the items: each keeps its element, by `id`, so that
 * focus and pictures stay. `make` gives an element with a function `update(item)`.
 */
export function keyed(list, items, make, empty = '') {
  const old = new Map([...list.children].filter((each) => each.update).map((each) => [each.dataset.id, each]))
  const elements = items.map((item) => {
    const element = old.get(String(item.id)) ?? make(item)
    element.dataset.id = item.id
    element.update(item)
    return element
  })
  if (!elements.length && empty) elements.push(el('li', { class: 'none' }, empty))
  const held = new Set(elements)
  for (const each of [...list.children]) if (!held.has(each)) each.remove()
  elements.forEach((each, place) => {
    if (list.children[place] !== each) list.insertBefore(each, list.children[place] ?? null)
  })
}

/** Sets a text only if it is another: what a screen reader has read is not read again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/** Calls the API for a button, which is off meanwhile; a refusal is shown. Gives the answer. */
export async function act(button, path, body) {
  button.disabled = true
  try {
    return await api(path, { method: 'POST', body })
  } catch (fault) {
    toast(fault)
    return null
  } finally {
    button.disabled = false
    if (document.activeElement === document.body) button.focus() // which it loses while it is off
  }
}

/** A button with a picture and a name, for people who may produce. */
export function actionButton(picture, label, run, { isQuiet = true } = {}) {
  if (!mayProduce) return null
  const button = el('button', { type: 'button', class: isQuiet ? 'quiet' : '',
    onclick: (event) => { event.stopPropagation(); run(button) } }, icon(picture), el('span', {}, label))
  return button
}

export const cancelButton = (jobId, done) => actionButton('stop', t('jobs.cancel'), async (button) => {
  const answer = await act(button, `/generation/${jobId}/cancel`)
  if (answer) done(answer)
})

/** What is known of a job, with its timeline, in a dialog. It ends when the person closes it. */
export async function showJob(jobId) {
  const body = el('div', { class: 'job-sheet' }, el('p', { class: 'hint' }, t('jobs.loading')))
  const closed = dialog({ title: t('jobs.sheet'), body, wide: true })
  try {
    const [job, timeline, files] = await Promise.all([
      api(`/jobs/${jobId}`), api(`/jobs/${jobId}/timeline`), api('/files', { query: { job: jobId, limit: 24 } })])
    body.replaceChildren(...sheet(job, timeline.entries, files.items))
  } catch (fault) {
    body.replaceChildren(el('p', { class: 'fault' }, fault.detail), el('p', {}, fault.todo ?? ''))
  }
  await closed
}

function sheet(job, entries, files) {
  const facts = [
    [t('jobs.status'), t(`jobs.status.${job.status}`)],
    [t('jobs.project'), job.project], [t('jobs.character'), job.character],
    [t('jobs.workflow'), job.workflow], [t('jobs.attempt'), number(job.attempt)],
    [t('jobs.asked'), moment(job.created_at)],
  ].filter(([, value]) => value)
  return [
    el('p', { class: 'prompt', dir: 'auto' }, shortened(job.prompt, 4000)),
    job.error && el('p', { class: 'fault', role: 'note' }, job.error),
    files.length ? el('ul', { class: 'latest' }, files.map(fileLink)) : null,
    el('dl', { class: 'facts' }, facts.map(([name, value]) => [el('dt', {}, name), el('dd', { dir: 'auto' }, value)])),
    mayProduce && el('p', { class: 'toolbar' },
      el('a', { class: 'button', href: `/make?from_job=${job.id}` }, icon('make'), t('jobs.again'))),
    el('h3', {}, t('jobs.timeline')),
    el('ol', { class: 'timeline' }, entries.map((entry) => el('li', {},
      el('time', { datetime: entry.at, title: moment(entry.at) }, timeOfDay(entry.at)),
      el('span', {}, entry.message)))),
  ].filter(Boolean)
}

/** A file as a small picture that leads to it. */
export function fileLink(file) {
  const said = file.metadata?.prompt || file.filename
  const shape = file.width && file.height ? file.width / file.height : 1
  return el('li', { style: { '--shape': Math.min(2.4, Math.max(0.5, shape)).toFixed(3) } },
    el('a', { href: `/library/${file.id}`, title: shortened(said, 300) },
      el('anime-picture', { 'file-id': file.id, kind: file.file_type, alt: shortened(said, 120) })))
}

export { ago }
