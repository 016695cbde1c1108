// One WebSocket for the whole page: jobs and shots as they change.

import { api } from './api.js'

const FIRST_DELAY_MS = 500
const LONGEST_DELAY_MS = 15000
const PING_MS = 20000
const SILENCE_MS = 10000

class Live {
  #socket = null
  #delay = FIRST_DELAY_MS
  #jobs = new Map() // job id or '*' → {handlers: Map(handler → previews), seq}
  #shots = new Map() // handler → project
  #states = new Set()
  #hasBeenConnected = false
  #timer = 0

  /** 'connected' | 'lost' | 'idle', which is before anybody has subscribed. */
  state = 'idle'

  constructor() {
    addEventListener('online', () => this.#reconnectNow())
    document.addEventListener('visibilitychange', () => document.hidden || this.#reconnectNow())
    addEventListener('pagehide', () => this.#socket?.close())
    addEventListener('pageshow', (event) => event.persisted && this.#reconnectNow())
  }

  /**
   * Calls the handler with {type: 'status' | 'progress' | 'preview', job_id, data} of the job, or
   * of every job ('*'). After a lost connection it gets what it missed of a job; with '*' it gets
   * {type: 'reconnected'}, and reads anew what it shows. Gives a function that unsubscribes.
   */
  subscribe(jobId, handler, { previews = false } = {}) {
    const job = this.#jobs.get(jobId) ?? { handlers: new Map(), seq: null }
    this.#jobs.set(jobId, job)
    job.handlers.set(handler, previews)
    if (this.#isOpen) this.#subscribeJob(jobId, job, null)
    else this.#connect()
    return () => {
      job.handlers.delete(handler)
      if (job.handlers.size) return
      this.#jobs.delete(jobId)
      this.#send({ action: 'unsubscribe', job_id: jobId })
    }
  }

  /**
   * Calls the handler with {type: 'shot', shot_id, data} of a project's shots, or of all ('*');
   * and with {type: 'reconnected'} after a lost connection: read the shots anew then.
   */
  subscribeShots(project, handler) {
    this.#shots.set(handler, project)
    if (this.#isOpen) this.#subscribeShots()
    else this.#connect()
    return () => {
      this.#shots.delete(handler)
      if (this.#shots.size) this.#subscribeShots()
      else this.#send({ action: 'unsubscribe_shots' })
    }
  }

  /** Calls the handler with 'connected' or 'lost' whenever that changes. */
  onState(handler) {
    this.#states.add(handler)
    return () => this.#states.delete(handler)
  }

  get #isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN
  }

  #send(message) {
    if (this.#isOpen) this.#socket.send(JSON.stringify(message))
  }

  #subscribeJob(jobId, job, seq) {
    const previews = [...job.handlers.values()].includes(true)
    this.#send({ action: 'subscribe', job_id: jobId, previews, ...(seq === null ? {} : { seq }) })
  }

  #subscribeShots() {
    const projects = new Set(this.#shots.values())
    this.#send({ action: 'subscribe_shots', project: projects.size === 1 ? [...projects][0] : '*' })
  }

  #connect() {
    if (this.#socket || !(this.#jobs.size || this.#shots.size)) return
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`)
    this.#socket = socket
    socket.onopen = () => this.#opened(socket)
    socket.onmessage = ({ data }) => {
      socket.heard = true
      this.#dispatch(JSON.parse(data))
    }
    socket.onclose = () => this.#closed(socket)
  }

  #opened(socket) {
    this.#delay = FIRST_DELAY_MS
    for (const [jobId, job] of this.#jobs) this.#subscribeJob(jobId, job, jobId === '*' ? null : job.seq)
    if (this.#shots.size) this.#subscribeShots()
    this.#setState('connected')
    if (this.#hasBeenConnected) {
      for (const handler of this.#jobs.get('*')?.handlers.keys() ?? []) handler({ type: 'reconnected' })
      for (const handler of this.#shots.keys()) handler({ type: 'reconnected' })
    }
    this.#hasBeenConnected = true
    // A network that is gone says nothing: who answers no ping is not there.
    socket.pings = setInterval(() => {
      socket.heard = false
      this.#send({ action: 'ping' })
      setTimeout(() => socket.heard || this.#closed(socket), SILENCE_MS)
    }, PING_MS)
  }

  #closed(socket) {
    if (socket !== this.#socket) return
    clearInterval(socket.pings)
    this.#socket = null
    socket.close()
    this.#setState('lost')
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#reconnectNow(), this.#delay * (0.75 + Math.random() / 2))
    this.#delay = Math.min(LONGEST_DELAY_MS, this.#delay * 2)
    // Why a socket is refused is kept from scripts: this asks, and leads to the login page.
    if (!socket.heard) api('/pauses').catch(() => {})
  }

  #reconnectNow() {
    clearTimeout(this.#timer)
    this.#connect()
  }

  #setState(state) {
    if (state === this.state) return
    this.state = state
    for (const handler of this.#states) handler(state)
  }

  #dispatch(message) {
    if (message.type === 'shot') {
      for (const [handler, project] of this.#shots) {
        if (project === '*' || project === message.data.project) handler(message)
      }
      return
    }
    if (!['status', 'progress', 'preview'].includes(message.type)) return
    const own = this.#jobs.get(message.job_id)
    if (own && message.data.seq) own.seq = Math.max(own.seq ?? 0, Number(message.data.seq))
    const all = message.job_id === '*' || message.type === 'status' ? undefined : this.#jobs.get('*')
    for (const job of [own, all]) {
      for (const [handler, previews] of job?.handlers ?? []) {
        if (message.type !== 'preview' || previews) handler(message)
      }
    }
  }
}

export const live = new Live()
