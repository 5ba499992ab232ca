import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { explainFailure } from '../../cli/src/demo/failure.js'
import { iou } from '../../cli/src/metrics/iou.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { testIf } from '../test_if.js'

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

test('the demo succeeds and prints nothing on stderr', () => {
  run = clipEs('demo', '-o', out)
  assert.is(run.stderr, '')
  assert.is(run.status, 0, run.stdout)
})

test('the demo writes a page, and a picture and two masks of each scene, and nothing else', () => {
  const pictures = Object.keys(truths).flatMap((name) => [`${name}.png`, `${name}_mask.png`, `${name}_mask_crf.png`])
  assert.equal(readdirSync(out).sort(), [...pictures, 'index.html'].sort())
})

/** The figures of a line of the table: IoU, reference, and IoU with the CRF. */
const figures = (line: string | undefined, start: string): number[] =>
  line
    ?.match(new RegExp(`^${start} +(\\d\\.\\d{3}) +(\\d\\.\\d{3}) +(\\d\\.\\d{3})(  failure)?$`))
    ?.slice(1, 4)
    .map(Number) ?? []

test('the table has every object with an IoU within 0.01 of the reference, their mean, and the path of the page', () => {
  const lines = run.stdout.trimEnd().split('\n')
  const objects = Object.entries(truths).flatMap(([scene, { labels, iou_caa }]) =>
    labels.map((label, i) => ({ scene, label, iou: iou_caa[i] })),
  )
  for (const [i, { scene, label, iou: reference }] of objects.entries()) {
    const [found, printed, withCrf] = figures(lines[i + 1], `${scene} +${label}`)
    assert.ok(Math.abs(Number(found) - Number(reference)) <= 0.01, `${scene} ${label}: ${lines[i + 1]}`)
    assert.is(printed, reference)
    assert.is(lines[i + 1]?.endsWith('  failure'), Number(found) < 0.5 || Number(withCrf) < 0.5, lines[i + 1])
  }
  const mean = objects.reduce((sum, object) => sum + Number(object.iou), 0) / objects.length
  const [found] = figures(lines[objects.length + 1], 'mean +25 objects')
  assert.ok(Math.abs(Number(found) - mean) <= 0.01, lines[objects.length + 1])
  assert.ok(lines.at(-1)?.endsWith(join(out, 'index.html')), lines.at(-1))
})

/** The IoU of each object of a scene, judged again from a mask of the folder. */
async function judge(scene: string, end: string): Promise<number[]> {
  const mask = (await readMask(readFileSync(join(out, `${scene}${end}.png`)))).data
  const truth = (await readMask(readFileSync(join(scenes, `${scene}_mask.png`)))).data
  const values = (truths[scene] as Scene).labels.map((label) => classNames.indexOf(label) + 1)
  assert.equal(
    [...new Set(mask)].filter((value) => value !== 0 && !values.includes(value)),
    [],
    scene,
  )
  return values.map((value, i) =>
    iou(
      mask,
      truth.map((index) => (index === i + 1 ? value : 0)),
      value,
    ),
  )
}

test('the masks hold class numbers, and their IoU is that of the reference', async () => {
  for (const [name, { labels, iou_caa }] of Object.entries(truths))
    for (const [i, judged] of (await judge(name, '_mask')).entries())
      assert.ok(Math.abs(judged - Number(iou_caa[i])) <= 0.01, `${name} ${labels[i]}: ${judged}`)
})

test('the masks with the CRF have the IoU of the table, and a higher mean than those without', async () => {
  const lines = run.stdout.split('\n').slice(1)
  let sum = 0
  for (const [name, { labels }] of Object.entries(truths))
    for (const [i, judged] of (await judge(name, '_mask_crf')).entries()) {
      const [, , printed] = figures(lines.shift(), `${name} +${labels[i]}`)
      assert.is(judged.toFixed(3), printed?.toFixed(3), `${name} ${labels[i]}`)
      sum += judged
    }
  const [without, , withCrf] = figures(lines.shift(), 'mean +25 objects')
  assert.is(withCrf?.toFixed(3), (sum / 25).toFixed(3))
  assert.ok(Number(withCrf) > Number(without) + 0.1, `${without} ${withCrf}`)
})

test('the page is one file with all pictures inside, without scripts and external resources', () => {
  const page = readFileSync(join(out, 'index.html'), 'utf8')
  assert.not.match(page, /<script|<link[^>]+href="(?!data:)|@import|url\(/)
  const sources = [...page.matchAll(/<img[^>]+src="([^"]+)"/g)].map(([, source]) => source as string)
  assert.is(sources.length, 48)
  for (const source of sources) assert.match(source, /^data:image\/webp;base64,[\w+/]+=*$/)
  assert.match(page, /The embedded model knows emoji scenes, not photographs\./)
})

test('the page has the figures of the table, and every failure with its reason, the worst first', () => {
  const page = readFileSync(join(out, 'index.html'), 'utf8')
  const list = page.slice(page.indexOf('id="failures"'), page.indexOf('<article'))
  const named = [...list.matchAll(/<li><b><a href="#(\w+)">([^<]+)<\/a>, IoU (\S+) → (\S+)\.<\/b> ([^<]+)/g)]
  const failed = run.stdout.split('\n').filter((line) => line.endsWith('  failure'))
  assert.ok(failed.length > 0)
  assert.is(named.length, failed.length)
  for (const [, scene, name, found, withCrf] of named)
    assert.ok(
      failed.some(
        (line) => [found, withCrf].join() === [0, 2].map((i) => figures(line, `${scene} +${name}`)[i]?.toFixed(3)).join(),
      ),
      `${scene} ${name}`,
    )
  const order = named.map(([, , , found]) => Number(found))
  assert.equal(
    order,
    order.toSorted((a, b) => a - b),
  )
  const [, , camera, , , reason] = named.find(([, , name]) => name === 'camera') ?? []
  assert.is(camera, 'camera')
  assert.match(reason as string, /^Confused with a neighbour: \d+ % of the camera was labelled as panda, /)
  const without = failed.filter((line) => (figures(line, '\\w+ +[\\w ]+?')[0] as number) < 0.5).length
  const withCrf = failed.filter((line) => (figures(line, '\\w+ +[\\w ]+?')[2] as number) < 0.5).length
  assert.ok(run.stdout.includes(`Objects with an IoU below 0.5: ${without} without the CRF, ${withCrf} with it.`), run.stdout)
  assert.ok(page.includes(`<dd>${without} → ${withCrf}</dd>`))
})

test('a failure is explained by its largest error', () => {
  const nameOf = (value: number): string => ['', 'cat', 'dog'][value] as string
  const explain = (mask: number[], truth: number[]) => explainFailure(Uint8Array.from(mask), Uint8Array.from(truth), 1, nameOf)
  const confused = explain([2, 2, 2, 1, 0, 0], [1, 1, 1, 1, 0, 2])
  assert.is(confused.reason, 'Confused with a neighbour: 75 % of the cat was labelled as dog, whose map is stronger there.')
  const part = explain([0, 0, 0, 1, 2, 1], [1, 1, 1, 1, 2, 0])
  assert.match(part.reason, /^Only a part was found: 75 % of the cat was left as background, /)
  const coarse = explain([1, 1, 1, 1, 0, 2], [0, 0, 0, 1, 1, 2])
  assert.match(coarse.reason, /^Coarse patches: .* that make up 150 % of its size\.$/)
  for (const { remedy } of [confused, part, coarse]) assert.match(remedy, /^Try /)
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

test('an interrupt leaves only whole files, and the status is 130', async () => {
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
const browserTest = testIf(chromium, 'the page of the demo in a browser: no chromium is installed')

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
  for (const size of ['1280,900', '390,900'])
    assert.equal(openPage(page, size), { report: { images: 48, broken: [], wide: false }, errors: [] }, size)
})

browserTest('that check would see a missing picture and a console message', () => {
  const page = readFileSync(join(out, 'index.html'), 'utf8')
  const spoilt = page
    .replace(/src="data:[^"]+"/, 'src="nothing.png"')
    .replace('</body>', '<script>console.error("spoilt")</script></body>')
  const { report, errors } = openPage(spoilt, '1280,900')
  assert.equal(report.broken, ['nothing.png'])
  assert.ok(
    errors.some((line) => line.includes('spoilt')),
    String(errors),
  )
})

test.run()
