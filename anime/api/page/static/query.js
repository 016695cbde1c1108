// The state of a view is in the address's query, so that it can be sent, and Back works.

/** The query as an object of texts; a name that is not there is undefined. */
export const readQuery = () => Object.fromEntries(new URLSearchParams(location.search))

/**
 * Changes names of the query; an empty or null value takes a name out. `replace`: the change is
 * no step that Back would undo, as with each letter of a search.
 */
export function writeQuery(changes, { replace = false } = {}) {
  const query = new URLSearchParams(location.search)
  for (const [name, value] of Object.entries(changes)) {
    if (value === '' || value === null || value === undefined) query.delete(name)
    else query.set(name, value)
  }
  query.delete('lang') // a cookie keeps it
  const text = query.toString()
  const address = location.pathname + (text ? `?${text}` : '')
  if (address === location.pathname + location.search) return
  history[replace ? 'replaceState' : 'pushState'](history.state, '', address)
}

/** Calls the handler whenever Back or Forward has changed the query. */
export const onQuery = (handler) => addEventListener('popstate', () => handler(readQuery()))
