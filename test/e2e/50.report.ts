import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'
import { makeDemoSet } from './demo_set.js'

const root = join(__dirname, '../..')
const main = join(root, 'cli/dist/main.js')
delete process.env.CLIP_ES_MODEL // the tester's own is not the one that knows these scenes
const folder = mkdtempSync(join(tmpdir(), 'clip-es-report-'))
const clipEs = (...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', cwd: folder, maxBuffer: 1e8 })

test.before(async () => {
  assert.ok(existsSync(main), `${main} is missing: npm run build`)
  await makeDemoSet(join(folder, 'demo'), 60)
  const made = [
    ['dataset', '--folder', 'demo/photos', '--labels', 'demo/labels.csv', '--cams', '--confidence', '-o', 'demo-out'],
    ['eval', 'demo-out', '--truth', 'demo/truth'],
    ['eval', 'demo-out', '--truth', 'demo/truth', '--search'],
    ['report', 'demo-out'],
  ]
  for (const args of made) {
    const { status, stderr } = clipEs(...args)
    assert.is(status, 0, stderr)
  }
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

const page = () => readFileSync(join(folder, 'demo-out/report.html'), 'utf8')

test('the page is one file with all pictures inside, without scripts and external resources', () => {
  assert.not.match(page(), /<script|<link[^>]+href="(?!data:)|@import|url\(|src="(?!data:)/)
  assert.is(page().match(/<img /g)?.length, 36, 'six best and six worst, three pictures each')
  assert.is(page().match(/<svg /g)?.length, 4)
})

test('the page has the figures of every label, the means, and how the masks were made', () => {
  const { labels, miou } = JSON.parse(readFileSync(join(folder, 'demo-out/eval.json'), 'utf8'))
  for (const { name, iou } of labels) {
    const row = new RegExp(`</span>${name}</td>[^]*?<td>${(100 * iou).toFixed(1)}</td>`.replace('[^]', '[\\s\\S]'))
    if (iou !== null) assert.match(page(), row)
  }
  assert.ok(page().includes(`<dd>${(100 * miou).toFixed(1)} %</dd>`))
  assert.match(page(), /<dt>Prompt<\/dt><dd>a clean origami \{\}\.<\/dd>/)
})

test('names of photos and folders are escaped', () => {
  const file = join(folder, 'demo-out/eval.json')
  const before = readFileSync(file, 'utf8')
  const evaluation = JSON.parse(before)
  evaluation.failures = [{ id: '<img src=x>', message: 'a & b' }]
  writeFileSync(file, JSON.stringify(evaluation))
  const { status } = clipEs('report', 'demo-out', '--title', '<b>Mine</b>', '-o', 'other.html', '--pictures', '2')
  writeFileSync(file, before)
  assert.is(status, 0)
  const other = readFileSync(join(folder, 'other.html'), 'utf8')
  assert.match(other, /<h1>&#60;b&#62;Mine/)
  assert.match(other, /<b>&#60;img src=x&#62;<\/b>: a &#38; b/)
  assert.is(other.match(/<img /g)?.length, 12)
})

test('without photos the masks are drawn on grey, and without an evaluation the page says what is missing', () => {
  assert.is(clipEs('eval', 'demo-out/masks', '--truth', 'demo/truth', '--class-file', 'emoji').status, 0)
  assert.is(clipEs('report', 'demo-out/masks', '--pictures', '1').status, 0)
  const bare = readFileSync(join(folder, 'demo-out/masks/report.html'), 'utf8')
  assert.is(bare.match(/<img /g)?.length, 4)
  assert.is(clipEs('report', 'demo-out/masks', '--pictures', '1', '--photos', 'demo/photos').status, 0)
  assert.is(readFileSync(join(folder, 'demo-out/masks/report.html'), 'utf8').match(/<img /g)?.length, 6)
  cpSync(join(folder, 'demo/photos'), join(folder, 'demo/upper'), { recursive: true })
  for (const name of readdirSync(join(folder, 'demo/upper/00')))
    renameSync(join(folder, 'demo/upper/00', name), join(folder, 'demo/upper/00', name.replace('.png', '.PNG')))
  assert.is(clipEs('report', 'demo-out/masks', '--pictures', '1', '--photos', 'demo/upper').status, 0)
  assert.is(readFileSync(join(folder, 'demo-out/masks/report.html'), 'utf8').match(/<img /g)?.length, 6)
  const { status, stderr } = clipEs('report', 'demo')
  assert.is(status, 2)
  assert.match(stderr, /demo has no eval\.json; make it first: clip-es eval demo --truth DIR/)
})

// ---------------------------------------------------------------- in a browser
const chromium = ['chromium', 'chromium-browser', 'google-chrome'].find((name) => spawnSync('which', [name]).status === 0)
const browserTest = testIf(chromium, 'the report in a browser: no chromium is installed')

const inspector = `<script>addEventListener('load', () => {
  const broken = [...document.images].filter((image) => !image.naturalWidth).length
  const wide = document.documentElement.scrollWidth > innerWidth
  const flat = [...document.querySelectorAll('svg')].filter((svg) => svg.getBoundingClientRect().height < 150).length
  document.body.innerHTML = '<pre>' + JSON.stringify({ images: document.images.length, broken, wide, flat }) + '</pre>'
})</script>`

browserTest('a browser shows it with every picture and chart, no console message, and no sideways scrolling', () => {
  const file = join(folder, 'inspected.html')
  writeFileSync(file, page().replace('</body>', `${inspector}</body>`))
  for (const size of ['1280,900', '500,900']) {
    const profile = mkdtempSync(join(folder, 'browser-'))
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--enable-logging=stderr']
    const args = [...flags, `--user-data-dir=${profile}`, `--window-size=${size}`, '--dump-dom', `file://${file}`]
    const { stdout, stderr } = spawnSync(chromium as string, args, { encoding: 'utf8', timeout: 60_000, maxBuffer: 1e8 })
    const report = stdout.match(/<pre>(.*)<\/pre>/)?.[1]
    assert.ok(report, `${stdout.slice(0, 300)} ${stderr.slice(-300)}`)
    assert.equal(JSON.parse(report as string), { images: 36, broken: 0, wide: false, flat: 0 }, size)
    assert.equal(
      stderr.split('\n').filter((line) => line.includes('CONSOLE')),
      [],
    )
  }
})

test.run()
