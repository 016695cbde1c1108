// The view Now: what renders, what waits and why, what has failed, and the servers.

import { api } from './api.js'
import { dialog, el, icon, onKey, shortened, toast } from './dom.js'
import {
  act, actionButton, ago, cancelButton, fileLink, frame, hasEnded, keyed, mayProduce, setText, showJob,
  timeLeft,
} from './jobs.js'
import { live } from './live.js'
import './picture.js'
import { onQuery, readQuery, writeQuery } from './query.js'
import { moment, number, t } from './words.js'

const READ_AGAIN_MS = 10000 // what no event tells: servers, memory, estimates
const AT_ONCE_MS = 600 // events of many jobs are one look
const LATEST = 24
const FIRST_WAITING = 10

const $ = (id) => document.getElementById(id)
const jobs = new Map() // all that is shown and has not failed, by id
let activity = null
let reading = null
let isStale = false
let timer = 0
let due = Infinity

async function read() {
  clearTimeout(timer)
  due = Infinity
  if (reading) {
    isStale = true
    return reading
  }
  reading = Promise.all([api('/activity'), api('/files', { query: { limit: LATEST } })])
    .then(([now, files]) => show(now, files.items), failedToRead)
    .finally(() => {
      reading = null
      schedule(isStale ? AT_ONCE_MS : READ_AGAIN_MS)
      isStale = false
    })
  return reading
}

/** Reads again after so long at the latest: many events are one look. */
function schedule(milliseconds) {
  if (Date.now() + milliseconds >= due) return
  clearTimeout(timer)
  due = Date.now() + milliseconds
  timer = setTimeout(() => {
    due = Infinity
    if (document.hidden) schedule(READ_AGAIN_MS)
    else read()
  }, milliseconds)
}

/** What was read before stays, with the reason why it is not newer. */
function failedToRead(fault) {
  $('counts').classList.add('fault')
  setText($('counts'), `${fault.detail || fault.message} ${fault.todo ?? ''}`)
}

function show(now, files) {
  activity = now
  jobs.clear()
  for (const job of [...now.rendering, ...now.waiting]) jobs.set(job.id, job)
  keyed($('rendering'), now.rendering, card, t('now.nothing_renders'))
  showWaiting()
  keyed($('failed'), now.failed, failedRow, t('now.nothing_failed'))
  keyed($('servers'), now.servers.map((each) => ({ ...each, id: each.name })), serverPanel, t('now.no_servers'))
  keyed($('pauses'), now.pauses.map((each) => ({ ...each, id: each.scope })), pauseNote)
  keyed($('latest'), files, latestFile, t('now.nothing_made'))
  const { queued, processing, cancelling, failed } = now.counts
  $('counts').classList.remove('fault')
  setText($('counts'), t('now.counts', {
    rendering: number(now.rendering.length),
    waiting: number(Math.max(0, queued + processing + cancelling - now.rendering.length)),
    failed: number(failed),
  }))
  document.title = `${now.rendering.length ? `(${now.rendering.length}) ` : ''}${document.title.replace(/^\(\d+\) /, '')}`
  showPauseAction()
}

let showsAll = false

function showWaiting() {
  const { waiting, counts } = activity
  keyed($('waiting'), showsAll ? waiting : waiting.slice(0, FIRST_WAITING), waitingRow, t('now.nothing_waits'))
  const more = $('more-waiting')
  more.hidden = waiting.length <= FIRST_WAITING
  setText(more, showsAll ? t('now.fewer', { count: FIRST_WAITING })
    : t('now.all_waiting', { count: number(waiting.length), queued: number(counts.queued) }))
}

$('more-waiting').addEventListener('click', () => {
  showsAll = !showsAll
  showWaiting()
})

function latestFile(file) {
  return Object.assign(fileLink(file), { update() {} })
}

// Live: an event of a shown job changes it; whatever else happens is read.

function heard({ type, job_id: jobId, data }) {
  if (type === 'reconnected') return read()
  const job = jobs.get(jobId)
  if (type === 'preview') return cardOf(jobId)?.preview(data)
  if (!data?.status) return undefined
  if (!job || hasEnded(data)) return schedule(AT_ONCE_MS)
  const { status, stage, message } = job
  Object.assign(job, {
    status: data.status, stage: data.stage || null, progress: Number(data.progress),
    message: data.message || message,
  })
  const isElsewhere = !cardOf(jobId) && job.message !== message
  if (status !== job.status || stage !== job.stage || isElsewhere) schedule(AT_ONCE_MS)
  document.querySelector(`[data-id="${jobId}"]`)?.update?.(job)
  return undefined
}

const cardOf = (jobId) => $('rendering').querySelector(`[data-id="${jobId}"]`)

// Asked for before they are submitted: only then a server makes previews of them.
live.subscribe('*', heard, { previews: true })
setInterval(() => {
  if (document.hidden) return
  for (const card of $('rendering').children) card.tick?.()
}, 1000)
document.addEventListener('visibilitychange', () => document.hidden || read())

// What a job looks like.

const nameOf = (job) => el('a', { class: 'prompt', dir: 'auto', href: `?job=${job.id}`,
  onclick: (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return
    event.preventDefault()
    writeQuery({ job: job.id })
    openJob()
  } }, shortened(job.prompt, 300))

const facts = (job) => el('p', { class: 'facts-line' }, [job.project, job.character, job.workflow, job.comfyui_name]
  .filter(Boolean).map((text) => el('span', { dir: 'auto' }, shortened(text, 60))))

function card(first) {
  let job = first
  const picture = frame()
  const bar = el('progress', { max: 100, 'aria-label': t('now.progress') })
  const percent = el('span', { class: 'percent' })
  const left = el('span', { class: 'left' })
  const message = el('p', { class: 'message' })
  const stop = cancelButton(job.id, read)
  const element = el('li', { class: 'card' }, picture,
    el('div', { class: 'card-body' }, nameOf(job), facts(job), message, bar,
      el('div', { class: 'card-line' }, percent, left, stop)))
  element.tick = () => setText(left, timeLeft(job))
  element.update = (newer) => {
    job = newer
    bar.value = job.progress
    setText(percent, t('now.percent', { percent: job.progress }))
    setText(message, job.status === 'cancelling' ? t('jobs.status.cancelling') : job.message)
    if (stop) stop.hidden = job.status === 'cancelling'
    element.tick()
  }
  element.preview = picture.preview
  return element
}

function waitingRow(job) {
  const message = el('p', { class: 'message' })
  const since = el('time', { class: 'quiet-text', datetime: job.created_at, title: moment(job.created_at) })
  const element = el('li', { class: 'row' }, icon('clock'),
    el('div', {}, nameOf(job), facts(job)), message, since, cancelButton(job.id, read))
  element.update = (newer) => {
    setText(message, newer.message || t(`jobs.status.${newer.status}`))
    setText(since, ago(newer.created_at))
  }
  return element
}

function failedRow(job) {
  const message = el('p', { class: 'message' })
  const when = el('time', { class: 'quiet-text', datetime: job.finished_at, title: moment(job.finished_at) })
  const element = el('li', { class: 'row' }, icon('warning'),
    el('div', {}, nameOf(job), facts(job)), message, when,
    el('div', { class: 'toolbar' },
      actionButton('retry', t('now.requeue'), async (button) => {
        const answer = await act(button, `/jobs/${job.id}/requeue`)
        if (!answer) return
        toast(t(answer.status === 'queued' ? 'now.requeued' : 'now.not_failed'))
        read()
      }),
      mayProduce && el('a', { class: 'button quiet', href: `/make?from_job=${job.id}` }, icon('make'), t('now.change'))))
  element.update = (newer) => {
    setText(message, newer.message || newer.error_kind)
    setText(when, ago(newer.finished_at))
  }
  return element
}

// Servers and pauses

const HEALTHY = { alive: 'good', unknown: '', unresponsive: 'warn', unreachable: 'bad', zombie: 'bad', latched: 'bad' }

function serverPanel(server) {
  const health = el('span', { class: 'badge' })
  const reason = el('p', { class: 'quiet-text' })
  const memory = el('meter', { min: 0, 'aria-label': t('now.vram') })
  const amount = el('p', { class: 'facts-line' })
  const model = el('p', { class: 'quiet-text model' })
  const drain = actionButton('pause', t('now.drain'), (button) => change(button, server.name, 'drain'))
  const resume = actionButton('play', t('now.resume'), (button) => change(button, server.name, 'resume'))
  const element = el('li', { class: 'panel server-panel' },
    el('header', {}, el('h3', {}, server.name), health), reason, memory, amount, model,
    el('div', { class: 'toolbar' }, drain, resume))
  element.update = (newer) => {
    const isHeldBack = newer.is_drained || newer.pause !== null
    health.className = `badge ${isHeldBack ? 'warn' : HEALTHY[newer.health]}`
    setText(health, newer.is_drained ? t('now.drained')
      : newer.pause ? t('now.paused') : t(`now.health.${newer.health}`))
    setText(reason, newer.health === 'alive' ? newer.device ?? '' : newer.health_reason)
    const total = newer.vram_total_mb
    const free = newer.vram_free_mb
    memory.hidden = !total || free === null
    if (!memory.hidden) Object.assign(memory, { max: total, low: total * 0.8, high: total * 0.95, optimum: 0, value: total - free })
    setText(amount, memory.hidden ? t('now.vram_unknown') : t('now.vram_free', {
      free: number(Math.round(free / 102.4) / 10), total: number(Math.round(total / 102.4) / 10),
    }))
    amount.append(el('span', {}, t('now.prompts_there', { count: newer.jobs })))
    setText(model, newer.loaded_model ?? '')
    if (!mayProduce) return
    drain.hidden = isHeldBack
    resume.hidden = !isHeldBack
  }
  return element
}

async function change(button, server, action) {
  const pause = activity.servers.find((each) => each.name === server)?.pause
  const answers = [await act(button, `/servers/${encodeURIComponent(server)}/${action}`)]
  if (pause && action === 'resume') answers.push(await act(button, '/resume', { server }))
  if (answers.every(Boolean)) read()
}

function pauseNote(pause) {
  const [kind, ...rest] = pause.scope.split(':')
  const named = rest.join(':')
  const what = kind === 'all' ? t('now.all_paused')
    : kind === 'project' ? t('now.project_paused', { name: named }) : t('now.server_paused', { name: named })
  const element = el('li', { class: 'pause' }, icon('pause'), el('p', { dir: 'auto' }, what,
    pause.reason && el('span', { class: 'quiet-text' }, ` ${shortened(pause.reason, 300)}`)),
  actionButton('play', t('now.resume'), async (button) => {
    if (await act(button, '/resume', kind === 'all' ? {} : { [kind]: named })) read()
  }, { isQuiet: false }))
  element.update = () => {}
  return element
}

let pauseButton = null

function showPauseAction() {
  const isPaused = activity.pauses.some((each) => each.scope === 'all')
  if (!mayProduce) return
  if (!pauseButton) {
    pauseButton = el('button', { type: 'button', 'aria-keyshortcuts': 'p', onclick: togglePause })
    $('now-actions').append(pauseButton)
  }
  pauseButton.replaceChildren(icon(isPaused ? 'play' : 'pause'), t(isPaused ? 'now.resume_all' : 'now.pause_all'))
}

async function togglePause() {
  if (activity.pauses.some((each) => each.scope === 'all')) {
    if (await act(pauseButton, '/resume', {})) read()
    return
  }
  const reason = el('input', { maxlength: 500, autofocus: true })
  const answer = await dialog({
    title: t('now.pause_all'),
    body: el('div', { class: 'field' }, el('p', {}, t('now.pause_hint')),
      el('label', { class: 'field' }, el('span', {}, t('now.reason')), reason)),
    actions: [{ label: t('now.pause_all'), value: 'pause', kind: 'primary' }],
  })
  if (answer === 'pause' && await act(pauseButton, '/pause', { reason: reason.value })) read()
}

// A job's sheet is in the address: it can be sent.

async function openJob() {
  const { job } = readQuery()
  if (!job) return document.querySelector('dialog[open]')?.close()
  await showJob(job)
  return writeQuery({ job: null })
}

onQuery(openJob)
if (mayProduce) onKey({ p: [t('now.pause_all'), () => { if (activity) togglePause() }] })
read()
if (readQuery().job) openJob()
