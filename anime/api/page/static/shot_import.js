// A shot list that somebody drops: how it would be read, its faults in its rows, then the import.

import { api } from './api.js'
import { debounced, dialog, el, toast } from './dom.js'
import { number, t } from './words.js'

const FORMATS = { xlsx: 'xlsx', xlsm: 'xlsx', yaml: 'yaml', yml: 'yaml', otio: 'otio' }
const FIELDS = ['code', 'episode', 'scene', 'description', 'characters', 'prompt', 'negative_prompt', 'workflow',
  'model', 'width', 'height', 'frames', 'seconds', 'seed', 'notes', 'status']
const SHOWN_FIELDS = ['code', 'episode', 'scene', 'description', 'characters', 'prompt']

/** Shows what the list would change, and imports it. The project's name; null if it was left. */
export async function importList(file, project) {
  const given = { project, ...await contentOf(file), columns: {} }
  const name = el('input', { value: project, required: true, maxlength: 200, autocomplete: 'off' })
  const place = el('div', { class: 'plan', 'aria-live': 'polite' })
  const content = el('div', { class: 'import' },
    el('label', { class: 'field' }, el('span', {}, t('shots.import_project')), name), place)
  const asking = dialog({
    title: t('shots.import_title', { file: file.name }), body: content, wide: true,
    actions: [{ label: t('shots.cancel'), value: '' }, { label: t('shots.import'), value: 'import', kind: 'primary' }],
  })
  const box = content.closest('dialog')
  box.classList.add('huge')
  const button = box.querySelector('button[value=import]')
  let asked = 0
  const look = async () => {
    const ask = ++asked
    button.disabled = true
    given.project = name.value.trim()
    if (!given.project) return place.replaceChildren(el('p', { class: 'hint' }, t('shots.import_needs_project')))
    const plan = await api('/shots/import/plan', { method: 'POST', body: given })
      .catch((fault) => ({ problem: fault.detail, todo: fault.todo, columns: {}, rows: [], faulty: 0 }))
    if (ask !== asked) return undefined
    place.replaceChildren(...planOf(plan, (heading, field) => {
      given.columns[heading] = field
      look()
    }))
    button.disabled = Boolean(plan.problem || plan.faulty)
    return undefined
  }
  // Where another look has been taken for that name meanwhile, the button stays as it is: it may be clicked just now.
  name.addEventListener('input', debounced(() => name.value.trim() !== given.project && look()))
  look()
  if (await asking !== 'import') return null
  const done = await api('/shots/import', { method: 'POST', body: given })
  toast(t('shots.imported', {
    added: number(done.added), changed: number(done.changed), unchanged: number(done.unchanged),
  }), { kind: 'success' })
  return given.project
}

/** The list as the API takes it: text, or a workbook in base64. */
async function contentOf(file) {
  const format = FORMATS[file.name.split('.').pop().toLowerCase()] ?? 'csv'
  if (format === 'xlsx') {
    const url = await new Promise((resolve, reject) => {
      const reader = new FileReader()
      reader.onload = () => resolve(reader.result)
      reader.onerror = () => reject(reader.error)
      reader.readAsDataURL(file)
    })
    return { format, table: url.slice(url.indexOf(',') + 1) }
  }
  return { format, table: decoded(new Uint8Array(await file.arrayBuffer())) }
}

/** The text: UTF-16 with its mark, UTF-8, or Shift-JIS, as the command reads it. */
function decoded(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder('utf-16le').decode(bytes)
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder('utf-16be').decode(bytes)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return new TextDecoder('shift_jis').decode(bytes)
  }
}

function planOf(plan, change) {
  const columns = Object.entries(plan.columns)
  return [
    plan.problem && el('p', { class: 'fault', role: 'alert' }, plan.problem, ' ', plan.todo),
    !plan.problem && el('p', { class: plan.faulty ? 'fault' : '' }, plan.faulty
      ? t('shots.import_faulty', { count: number(plan.faulty) })
      : t('shots.import_plan', { added: number(plan.added), changed: number(plan.changed), unchanged: number(plan.unchanged) })),
    columns.length > 0 && el('details', { open: Boolean(plan.problem) || columns.some(([, field]) => !field) },
      el('summary', {}, t('shots.import_columns')),
      el('div', { class: 'columns' }, columns.map(([heading, field]) => el('label', { class: 'field' },
        el('span', {}, heading), fieldSelect(field, (value) => change(heading, value)))))),
    plan.rows.length > 0 && el('div', { class: 'plan-rows', tabindex: 0, role: 'region', 'aria-label': t('shots.import_rows') },
      el('table', {},
        el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, ''),
          SHOWN_FIELDS.map((field) => el('th', { scope: 'col' }, t(`shots.field.${field}`))),
          el('th', { scope: 'col' }, t('shots.import_change')))),
        el('tbody', {}, plan.rows.map(rowOf)))),
  ].filter(Boolean)
}

function fieldSelect(field, change) {
  const select = el('select', { onchange: () => change(select.value) },
    el('option', { value: '' }, t('shots.import_ignored')),
    FIELDS.map((each) => el('option', { value: each }, t(`shots.field.${each}`))))
  select.value = field
  return select
}

function rowOf(row) {
  const faults = new Map(row.faults.map((fault) => [fault.column, fault.message]))
  const others = row.faults.filter((fault) => !SHOWN_FIELDS.includes(fault.column))
  return el('tr', { class: row.faults.length ? 'faulty' : '' },
    el('th', { scope: 'row' }, row.number),
    SHOWN_FIELDS.map((field) => el('td', { class: faults.has(field) ? 'wrong' : '' }, row.cells[field] ?? '',
      faults.has(field) && el('p', { class: 'fault' }, faults.get(field)))),
    el('td', {},
      row.change ? t(`shots.change.${row.change}`) : others.map(({ column, message }) =>
        el('p', { class: 'fault' }, el('b', {}, FIELDS.includes(column) ? t(`shots.field.${column}`) : column), ' ', message)),
      row.warnings.map((warning) => el('p', { class: 'warning' }, warning))))
}
