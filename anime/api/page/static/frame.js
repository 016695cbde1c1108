// What every view has: colours, language, connection, help.

import { onKey, showHelp } from './dom.js'
import { live } from './live.js'
import { t } from './words.js'

const YEAR_S = 365 * 24 * 3600
const root = document.documentElement

document.getElementById('help').addEventListener('click', showHelp)
onKey({ '?': [t('frame.help'), () => { showHelp() }] })

document.getElementById('scheme').addEventListener('click', () => {
  const isDark = root.dataset.scheme
    ? root.dataset.scheme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  root.dataset.scheme = isDark ? 'light' : 'dark'
  document.querySelector('meta[name=color-scheme]').content = root.dataset.scheme
  document.cookie = `anime_scheme=${root.dataset.scheme}; path=/; max-age=${YEAR_S}; samesite=lax`
})

// The address changes while the view is used: the other language shows the same.
for (const link of document.querySelectorAll('a[data-language]')) {
  link.addEventListener('click', () => {
    const address = new URL(location.href)
    address.searchParams.set('lang', link.dataset.language)
    link.href = address.pathname + address.search + address.hash
  })
}

const connection = document.getElementById('connection')
live.onState((state) => {
  connection.dataset.state = state
  connection.textContent = t(state === 'lost' ? 'frame.lost' : 'frame.connected')
})
