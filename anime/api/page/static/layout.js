// Pictures in rows that are all equally wide. Pure: it knows nothing of the page.

export const GAP = 4

const MOST_RATIO = 4
const LEAST_RATIO = 0.3

/** Width by height, within bounds; of a sound, or what nobody has measured, 1. */
export function ratioOf(width, height) {
  return width > 0 && height > 0 ? Math.min(MOST_RATIO, Math.max(LEAST_RATIO, width / height)) : 1
}

/** How high rows should be: some three on a telephone, more on a large screen; thumbnails have 384 pixels. */
export const rowHeightFor = (width) => Math.round(Math.min(256, Math.max(110, width / 7 + 60)))

/**
 * Rows of the pictures with these ratios: {top, height, first, last, lefts, widths}, and the height
 * of all, with a gap below. Each row is `width` wide, but for a few pictures alone, which would be too high.
 */
export function justify(ratios, width, target) {
  const sum = ratios.reduce((total, ratio) => total + ratio, 0)
  const ideal = (sum * target + GAP * ratios.length) / width
  const count = Math.min(ratios.length, Math.max(1, Math.round(ideal)))
  const share = sum / count // of ratios in each row, so that none is left over in the end
  const rows = []
  let [first, inRow, before, top] = [0, 0, 0, 0]
  ratios.forEach((ratio, place) => {
    inRow += ratio
    const left = ratios.length - place - 1
    const isFull = before + inRow + (ratios[place + 1] ?? 0) / 2 > share * (rows.length + 1)
    const mustEnd = left === count - rows.length - 1
    if (left && !(isFull && rows.length < count - 1) && !mustEnd) return
    const gaps = GAP * (place - first)
    const height = Math.min((width - gaps) / inRow, target * (count > 1 ? 3 : 1.4))
    const [lefts, widths] = [[], []]
    let x = 0
    for (let each = first; each <= place; each++) {
      lefts.push(x)
      widths.push(ratios[each] * height)
      x += ratios[each] * height + GAP
    }
    rows.push({ top, height, first, last: place, lefts, widths })
    top += height + GAP
    before += inRow
    first = place + 1
    inRow = 0
  })
  return { rows, height: top }
}

/** What the height of so many pictures will be, before their sizes are known. */
export function estimate(count, width, target, ratio = 1.3) {
  return Math.max(1, Math.round((count * (ratio * target + GAP)) / width)) * (target + GAP)
}
