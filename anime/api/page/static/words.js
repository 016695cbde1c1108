// The page's words in its language. Each module that imports this one waits for them.

export const language = document.documentElement.lang || 'en'

const address = new URL(`words-${language}.json`, import.meta.url)
const words = await fetch(address).then((answer) => answer.json())

/** The text of a key, with the values for its {names}; the key itself if there is none. */
export function t(key, values = {}) {
  const text = words[key] ?? key
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole))
}

/** What a setting is called; those that have no word, such as a workflow's own, by their title. */
export function labelOf(name, title = name) {
  const text = t(`field.${name}`)
  return text.startsWith('field.') ? title : text
}

const numbers = new Intl.NumberFormat(language)
const moments = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' })
const times = new Intl.DateTimeFormat(language, { timeStyle: 'medium' })
const spans = new Intl.RelativeTimeFormat(language, { numeric: 'auto', style: 'short' })

/** 1,234,567 */
export const number = (value) => numbers.format(value)

/** Date and time of an ISO moment. */
export const moment = (text) => moments.format(new Date(text))

/** The time of day of an ISO moment, with seconds. */
export const timeOfDay = (text) => times.format(new Date(text))

/** How long ago an ISO moment is, or how long until it comes: "3 min. ago". */
export function ago(text, now = Date.now()) {
  const seconds = (new Date(text).getTime() - now) / 1000
  const size = Math.abs(seconds)
  if (size < 60) return spans.format(Math.round(seconds), 'second')
  if (size < 3600) return spans.format(Math.round(seconds / 60), 'minute')
  if (size < 86400) return spans.format(Math.round(seconds / 3600), 'hour')
  return spans.format(Math.round(seconds / 86400), 'day')
}

/** A length of time in seconds as 4:05 or 1:04:05. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds))
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  if (!parts[0]) parts.shift()
  return parts.map((part, place) => (place ? String(part).padStart(2, '0') : part)).join(':')
}

/** Bytes as 1.4 MB. */
export function size(bytes) {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte']
  const step = Math.min(units.length - 1, bytes > 0 ? Math.floor(Math.log10(bytes) / 3) : 0)
  return new Intl.NumberFormat(language, {
    style: 'unit', unit: units[step], unitDisplay: 'short', maximumFractionDigits: step > 1 ? 1 : 0,
  }).format(bytes / 1000 ** step)
}
