import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { iou } from '../../cli/src/metrics/iou.js'
import { readMask } from '../../ts/photos/mask_png.js'

const root = join(__dirname, '../..')
const main = join(root, 'cli/dist/main.js')
const scenes = join(root, 'models/scenes')

interface Scene {
  labels: string[]
  iou_caa: number[]
}

const truths = JSON.parse(readFileSync(join(scenes, 'labels.json'), 'utf8')) as Record<string, Scene>
const classFile = JSON.parse(readFileSync(join(root, 'models/emoji-classes.json'), 'utf8')) as { classes: { name: string }[] }
const classNames = classFile.classes.map(({ name }) => name)

const folder = mkdtempSync(join(tmpdir(), 'clip-es-e2e-'))
const out = join(folder, 'demo')
const clipEs = (...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', cwd: folder })

test.before(() => {
  assert.ok(existsSync(main), `${main} is missing: npm run build`)
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

let run: SpawnSyncReturns<string>

test('the demo succeeds and says nothing on stderr', () => {
  run = clipEs('demo', '-o', out)
  assert.is(run.stderr, '')
  assert.is(run.status, 0, run.stdout)
})

test('it writes four pictures a scene and the page, and nothing else', () => {
  const pictures = Object.keys(truths).flatMap((name) => [
    `${name}.png`,
    `${name}_mask.png`,
    `${name}_overlay.png`,
    `${name}_truth.png`,
  ])
  assert.equal(readdirSync(out).sort(), [...pictures, 'index.html'].sort())
})

test('the table has every object with an IoU within 0.01 of the reference, their mean, and where the page is', () => {
  const lines = run.stdout.trimEnd().split('\n')
  const objects = Object.entries(truths).flatMap(([scene, { labels, iou_caa }]) =>
    labels.map((label, i) => ({ scene, label, iou: iou_caa[i] })),
  )
  for (const [i, { scene, label, iou: reference }] of objects.entries()) {
    const [, found, printed] = lines[i + 1]?.match(new RegExp(`^${scene} +${label} +(\\d\\.\\d{3}) +(\\d\\.\\d{3})$`)) ?? []
    assert.ok(Math.abs(Number(found) - Number(reference)) <= 0.01, `${scene} ${label}: ${lines[i + 1]}`)
    assert.is(Number(printed), reference)
  }
  const mean = objects.reduce((sum, object) => sum + Number(object.iou), 0) / objects.length
  const [, found] = lines[objects.length + 1]?.match(/^mean +25 objects +(\d\.\d{3})/) ?? []
  assert.ok(Math.abs(Number(found) - mean) <= 0.01, lines[objects.length + 1])
  assert.ok(lines.at(-1)?.endsWith(join(out, 'index.html')), lines.at(-1))
})

test('the masks hold class numbers, and judged again they have the IoU of the reference', async () => {
  for (const [name, { labels, iou_caa }] of Object.entries(truths)) {
    const mask = (await readMask(readFileSync(join(out, `${name}_mask.png`)))).data
    const truth = (await readMask(readFileSync(join(scenes, `${name}_mask.png`)))).data
    const values = labels.map((label) => classNames.indexOf(label) + 1)
    assert.equal(
      [...new Set(mask)].filter((value) => value !== 0 && !values.includes(value)),
      [],
      name,
    )
    for (const [i, value] of values.entries()) {
      const judged = iou(
        mask,
        truth.map((index) => (index === i + 1 ? value : 0)),
        value,
      )
      assert.ok(Math.abs(judged - Number(iou_caa[i])) <= 0.01, `${name} ${labels[i]}: ${judged}`)
    }
  }
})

test('an overlay shows the scene enlarged, with a legend below', async () => {
  const { width, height } = await sharp(join(out, 'scene01_overlay.png')).metadata()
  assert.is(width, 640)
  assert.ok(height !== undefined && height > 500 && height < 600, String(height))
})

test('the page is one file: no script, nothing from elsewhere, every picture beside it', () => {
  const page = readFileSync(join(out, 'index.html'), 'utf8')
  assert.not.match(page, /<script|<link[^>]+href="(?!data:)|@import|url\(/)
  const sources = [...page.matchAll(/<img[^>]+src="([^"]+)"/g)].map(([, source]) => source as string)
  assert.is(sources.length, 36)
  for (const source of sources) assert.ok(existsSync(join(out, source)), source)
  assert.match(page, /The embedded model knows emoji scenes, not photographs\./)
})

test('a wrong option is a usage error that names it', () => {
  const { status, stderr } = clipEs('demo', '--outt', 'x')
  assert.is(status, 2)
  assert.match(stderr, /unknown option '--outt'/)
})

test('a folder that cannot be written is named before any work', () => {
  const file = join(folder, 'a-file')
  writeFileSync(file, '')
  const { status, stderr, stdout } = clipEs('demo', '-o', join(file, 'demo'))
  assert.is(status, 1)
  assert.is(stdout, '')
  assert.match(
    stderr,
    /^clip-es: demo: cannot write to the folder .*a-file\/demo \(ENOTDIR.*\); choose another one with --out\n$/,
  )
})

test('an interrupt leaves whole files only, and the status 130', async () => {
  const half = join(folder, 'half')
  const child = spawn(process.execPath, [main, 'demo', '-o', half], { stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (text.includes('scene02')) child.kill('SIGINT')
  })
  const [status] = (await once(child, 'close')) as [number | null]
  assert.is(status, 130)
  const files = readdirSync(half)
  assert.ok(files.length > 0 && !files.includes('index.html'), String(files))
  for (const file of files) await sharp(readFileSync(join(half, file))).stats()
})

// ---------------------------------------------------------------- in a browser
const chromium = ['chromium', 'chromium-browser', 'google-chrome'].find((name) => spawnSync('which', [name]).status === 0)
const browserTest: typeof test.skip = chromium ? test : test.skip
if (!chromium) console.log('no chromium is installed: the page is not opened in a browser')

/** What the page itself cannot tell, having no script: pictures that did not load, and whether it is wider than the window. */
const inspector = `<script>addEventListener('load', () => {
  const broken = [...document.images].filter((image) => !image.naturalWidth).map((image) => image.getAttribute('src'))
  const wide = document.documentElement.scrollWidth > innerWidth
  document.body.innerHTML = '<pre>' + JSON.stringify({ images: document.images.length, broken, wide }) + '</pre>'
})</script>`

function openPage(
  page: string,
  windowSize: string,
): { report: { images: number; broken: string[]; wide: boolean }; errors: string[] } {
  const file = join(out, 'inspected.html')
  writeFileSync(file, page.replace('</body>', `${inspector}</body>`))
  const profile = mkdtempSync(join(folder, 'browser-'))
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--enable-logging=stderr']
  const args = [...flags, `--user-data-dir=${profile}`, `--window-size=${windowSize}`, '--dump-dom', `file://${file}`]
  const { stdout, stderr } = spawnSync(chromium as string, args, { encoding: 'utf8', timeout: 60_000 })
  rmSync(file)
  const report = stdout.match(/<pre>(.*)<\/pre>/)?.[1]
  assert.ok(report, `no report from the browser: ${stdout.slice(0, 300)} ${stderr.slice(-300)}`)
  return { report: JSON.parse(report as string), errors: stderr.split('\n').filter((line) => line.includes('CONSOLE')) }
}

browserTest('a browser shows the page with every picture, no console message, and no sideways scrolling', () => {
  const page = readFileSync(join(out, 'index.html'), 'utf8')
  for (const size of ['1280,900', '500,900'])
    assert.equal(openPage(page, size), { report: { images: 36, broken: [], wide: false }, errors: [] }, size)
})

browserTest('that check would see a missing picture and a console message', () => {
  const page = readFileSync(join(out, 'index.html'), 'utf8')
  const spoilt = page
    .replace('src="scene01_truth.png"', 'src="nothing.png"')
    .replace('</body>', '<script>console.error("spoilt")</script></body>')
  const { report, errors } = openPage(spoilt, '1280,900')
  assert.equal(report.broken, ['nothing.png'])
  assert.ok(
    errors.some((line) => line.includes('spoilt')),
    String(errors),
  )
})

test.run()
