// Turns the SVG emoji of several iconify packages into PNG sprites: OUT_DIR/<style>/<class>__<icon>.png
//   node rasterize.mjs words.json OUT_DIR [STYLE…]   in a folder where the packages of package.json are installed
// Icon names differ between the packages, so they are compared without hyphens and without a trailing variant number
// ("birthday-cake-2" = "birthdaycake"). In words.json, "fx:name" means "only in fxemoji".
import fs from 'node:fs'
import { createRequire } from 'node:module'

// The packages lie in the build folder this is run in, not beside this file.
const sharp = createRequire(`${process.cwd()}/`)('sharp')

const STYLES = ['noto', 'noto-v1', 'twemoji', 'emojione', 'fluent-emoji', 'fluent-emoji-flat', 'fxemoji', 'streamline-emojis']
const SIZE = 256

const [wordsFile, out, ...styles] = process.argv.slice(2)
const classes = JSON.parse(fs.readFileSync(wordsFile, 'utf8'))

const plain = (name) => name.replace(/-\d$/, '').replaceAll('-', '')

/** The names under which a style draws a class; `icons` is the class's entry in words.json. */
function iconsOf(set, style, icons) {
  const names = icons.split(/[\s|]+/).filter(Boolean)
  const wanted = new Set(names.filter((n) => !n.startsWith('fx:') || style === 'fxemoji').map((n) => plain(n.replace('fx:', ''))))
  // fxemoji draws faces under the plain name and bodies under "...side"; both belong to the class
  return Object.keys(set.icons).filter((n) => wanted.has(plain(n)) || wanted.has(n))
}

function svgOf(set, name) {
  const icon = set.icons[name]
  const box = [icon.left ?? 0, icon.top ?? 0, icon.width ?? set.width ?? 16, icon.height ?? set.height ?? 16].join(' ')
  const namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
  return `<svg ${namespaces} width="${SIZE}" height="${SIZE}" viewBox="${box}">${icon.body}</svg>`
}

for (const style of styles.length ? styles : STYLES) {
  const set = JSON.parse(fs.readFileSync(`node_modules/@iconify-json/${style}/icons.json`, 'utf8'))
  fs.mkdirSync(`${out}/${style}`, { recursive: true })
  const missing = []
  let count = 0
  for (const [name, { icons }] of Object.entries(classes)) {
    const found = iconsOf(set, style, icons)
    if (!found.length) missing.push(name)
    for (const icon of found) {
      await sharp(Buffer.from(svgOf(set, icon)), { density: 72 })
        .resize(SIZE, SIZE, { fit: 'contain', background: '#0000' })
        .png({ compressionLevel: 3 })
        .toFile(`${out}/${style}/${name.replaceAll(' ', '_')}__${icon}.png`)
      count++
    }
  }
  console.log(style, count, 'pictures;', missing.length ? `not drawn: ${missing.join(', ')}` : 'every class drawn')
}
