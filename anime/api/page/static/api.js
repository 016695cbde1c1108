// Calls of the API. Paths are relative to /api/anime unless they begin with it.

import { t } from './words.js'

const PREFIX = '/api/anime'

/** A refusal of the API, or no answer at all (status 0). */
export class Problem extends Error {
  constructor({ detail = '', todo = '', status = 0, errors = [], type = '' }) {
    super(detail)
    Object.assign(this, { detail, todo, status, errors, type })
  }
}

/** The path with a query; values that are empty, null or undefined are left out. */
export function withQuery(path, values = {}) {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== '') query.set(name, value)
  }
  const text = query.toString()
  return text ? `${path}?${text}` : path
}

// Seeds go beyond what numbers of JavaScript can be: those stay texts, which the API takes as well.
const exact = (key, value, context) =>
  typeof value === 'number' && !Number.isSafeInteger(value) && /^\d+$/.test(context?.source) ? context.source : value
const parsed = (text) => (/\d{16}/.test(text) ? JSON.parse(text, exact) : JSON.parse(text))

/** The page where one signs in, and which leads back to where one is. */
export function signIn() {
  const here = location.pathname + location.search
  location.assign(withQuery('/login', { next: here }))
}

/**
 * The answer's JSON; null if it has none. An object as body is sent as JSON, a Blob as it is.
 * Raises Problem; an abort by `signal` raises its AbortError. 401 leads to the login page.
 */
export async function api(path, { method = 'GET', body, signal, query, headers = {} } = {}) {
  const address = withQuery(path.startsWith('/api/') ? path : PREFIX + path, query)
  const sent = { 'X-Anime-Page': '1', ...headers }
  let content = body
  if (body !== undefined && !(body instanceof Blob)) {
    sent['Content-Type'] ??= 'application/json'
    content = typeof body === 'string' ? body : JSON.stringify(body)
  }
  const answer = await fetch(address, { method, body: content, signal, headers: sent })
    .catch((fault) => {
      if (fault.name === 'AbortError') throw fault
      throw new Problem({ detail: t('frame.no_answer'), todo: t('frame.no_answer_todo') })
    })
  const text = await answer.text()
  const json = text && answer.headers.get('Content-Type')?.includes('json') ? parsed(text) : null
  if (answer.ok) return json
  if (answer.status === 401) signIn()
  throw new Problem({ detail: answer.statusText, status: answer.status, ...json })
}
