// Blurred pictures of a few bytes. A browser draws a BMP, smoothed, at a quarter of a canvas's cost.

const LONGER_SIDE = 16 // of the picture that a ThumbHash becomes
const MOST_KEPT = 1000 // addresses, of a kilobyte each: who scrolls back needs them again
const addresses = new Map()
const cosines = new Map() // by length and wave

/** The address of a picture in the colours that a file's row has, in base64. */
export function addressOf(colours) {
  if (!addresses.has(colours)) {
    if (addresses.size >= MOST_KEPT) addresses.clear()
    const bytes = Uint8Array.from(atob(colours), (letter) => letter.charCodeAt(0))
    addresses.set(colours, bitmap(bytes.length === 32 ? unpacked(bytes) : decoded(bytes)))
  }
  return addresses.get(colours)
}

/** 4 × 4 colours of 5, 6 and 5 bits, as older rows have them. */
function unpacked(bytes) {
  const values = Array.from({ length: 16 }, (_, at) => (bytes[2 * at] << 8) | bytes[2 * at + 1])
  return {
    width: 4, height: 4, red: values.map((value) => (value >> 11) / 31),
    green: values.map((value) => ((value >> 5) & 63) / 63), blue: values.map((value) => (value & 31) / 31),
  }
}

/** What a ThumbHash without transparency shows (the format is at evanw.github.io/thumbhash), from 0 to 1. */
export function decoded(bytes) {
  const header = bytes.slice(0, 5).reduce((sum, byte, at) => sum + byte * 256 ** at, 0)
  const bits = (first, count) => Math.floor(header / 2 ** first) % 2 ** count
  const sides = bits(39, 1) ? [7, bits(24, 3)] : [bits(24, 3), 7]
  const [width, height] = sides.map((each) => Math.max(1, Math.round(LONGER_SIDE * each / 7)))
  const [across, down] = sides.map((each) => Math.max(3, each))
  let nibble = 10 // the header is before
  const channel = (mean, scale, nx, ny) => {
    const values = new Float64Array(width * height).fill(mean)
    for (let wy = 0; wy < ny; wy++) {
      for (let wx = wy ? 0 : 1; wx * ny < nx * (ny - wy); wx++, nibble++) {
        const amplitude = ((bytes[nibble >> 1] >> ((nibble & 1) * 4) & 15) / 7.5 - 1) * 2 * scale
        const alongX = cosine(width, wx)
        let at = 0
        for (const ofRow of cosine(height, wy)) {
          for (let x = 0; x < width; x++) values[at++] += amplitude * ofRow * alongX[x]
        }
      }
    }
    return values
  }
  const light = channel(bits(0, 6) / 63, bits(18, 5) / 31, across, down)
  const yellow = channel(bits(6, 6) / 31.5 - 1, bits(27, 6) / 63 * 1.25, 3, 3)
  const warm = channel(bits(12, 6) / 31.5 - 1, bits(33, 6) / 63 * 1.25, 3, 3)
  const blue = light.map((value, at) => value - yellow[at] * 2 / 3)
  const red = light.map((value, at) => (3 * value - blue[at] + warm[at]) / 2)
  return { width, height, red, green: red.map((value, at) => value - warm[at]), blue }
}

function cosine(length, wave) {
  const key = length * 8 + wave
  if (!cosines.has(key)) {
    cosines.set(key, Array.from({ length }, (_, at) => Math.cos(Math.PI / length * wave * (at + 0.5))))
  }
  return cosines.get(key)
}

function bitmap({ width, height, red, green, blue }) {
  const row = Math.ceil(width * 3 / 4) * 4
  const bytes = new Uint8ClampedArray(54 + row * height)
  const header = new DataView(bytes.buffer)
  for (const [at, value] of [[0, 0x4d42], [10, 54], [14, 40], [18, width], [22, height], [26, 0x180001]]) header.setUint32(at, value, true)
  for (let at = 0; at < width * height; at++) {
    const place = 54 + row * (height - 1 - Math.floor(at / width)) + at % width * 3 // the lowest comes first
    bytes.set([blue[at] * 255, green[at] * 255, red[at] * 255], place)
  }
  return `data:image/bmp;base64,${btoa(String.fromCharCode(...bytes))}`
}
