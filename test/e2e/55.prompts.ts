import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { demoClasses } from '../../cli/src/demo/scenes.js'
import { type EncodeClassesOptions, Segmenter, templates } from '../../ts/index.js'
import { readPhoto } from '../../ts/photos/read_photo.js'
import { SavedClasses } from '../integration/saved_classes.js'
import { emojiNames, makeDemoSet } from './demo_set.js'

const main = join(__dirname, '../../cli/dist/main.js')
const folder = mkdtempSync(join(tmpdir(), 'clip-es-prompts-'))
const photos = join(folder, 'photos')
const labelsFile = join(folder, 'labels.csv')
const cacheFolder = join(folder, 'cache')
const count = 36

const run = (...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [main, 'prompts', ...args], {
    encoding: 'utf8',
    cwd: folder,
    env: { ...process.env, CLIP_ES_CACHE: cacheFolder },
  })
const prompts = (...args: string[]) => run('--folder', photos, '--labels', labelsFile, ...args)
const json = (...args: string[]) => {
  const { status, stdout, stderr } = prompts('--json', ...args)
  assert.is(status, 0, stderr)
  return JSON.parse(stdout)
}

let several: [string, string[]][]
test.before(async () => {
  assert.ok(existsSync(main), `${main} is missing: npm run build`)
  several = [...(await makeDemoSet(folder, count))].filter(([, labels]) => labels.length > 1)
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

/** Equation 9 from embeddings and saved texts, with nothing of what the command uses. */
async function equation9(encodings: readonly EncodeClassesOptions[], withBackground = false): Promise<number[]> {
  const segmenter = await Segmenter.load()
  const specs = demoClasses().classes.map(({ name, synonyms = [name] }) => ({ name, synonyms }))
  const images: { embedding: Float32Array; scale: number; targets: number[] }[] = []
  for (const [id, labels] of several) {
    const encoded = await segmenter.encode(await readPhoto(join(photos, `${id}.png`)))
    const { image, logitScale } = await encoded.embeddings()
    encoded.dispose()
    images.push({ embedding: image, scale: logitScale, targets: labels.map((name) => emojiNames.indexOf(name)) })
  }
  const found: number[] = []
  for (const encoding of encodings) {
    const classes = await segmenter.encodeClasses(specs, encoding)
    const saved = join(folder, 'classes.safetensors')
    await classes.save(saved)
    const texts = new SavedClasses(saved)
    const rows = [...texts.rows('rows'), ...(withBackground ? texts.rows('background') : [])]
    let sum = 0
    for (const { embedding, scale, targets } of images) {
      const powers = rows.map((row) => Math.exp(scale * row.reduce((dot, value, i) => dot + value * (embedding[i] as number), 0)))
      const total = powers.reduce((a, b) => a + b)
      const p = targets.map((target) => (powers[target] as number) / total)
      const mean = p.reduce((a, b) => a + b) / p.length
      sum += p.reduce((square, value) => square + (value - mean) ** 2, 0) / p.length / mean
    }
    found.push(sum)
  }
  await segmenter.close()
  return found
}

test('the first run encodes every photo with two labels or more, and ranks 81 templates', () => {
  const { encoded, reused, photos: ranked, rankings, softmax, failed, cache } = json()
  assert.ok(several.length > 20)
  assert.equal([encoded, reused, ranked, failed], [several.length, 0, several.length, []])
  assert.is(softmax, 'classes')
  assert.ok(cache.startsWith(join(cacheFolder, 'embeddings/photos-')))
  const names = rankings[0].candidates.map(({ name }: { name: string }) => name)
  assert.equal([...names].sort(), [templates.clip_es, ...templates.imagenet].sort())
  const means = rankings[0].candidates.map(({ mean }: { mean: number }) => mean)
  assert.equal(
    means,
    means.toSorted((a: number, b: number) => a - b),
  )
})

test('a second run encodes no photo and gives the same ranking, and another question encodes none either', () => {
  const [first, second] = [json(), json()]
  assert.equal([second.encoded, second.reused], [0, several.length])
  assert.equal(second.rankings, first.rankings)
  assert.is(json('--rank', 'fusions').encoded, 0)
  assert.is(json('--templates', 'imagenet', '--with-background').encoded, 0)
  assert.is(json('--max-side', '160').encoded, several.length, 'other images enter the network')
})

test('the figures are equation 9 of the embeddings', async () => {
  const { template, fusion, background } = demoClasses()
  const asked = [templates.clip_es, 'a photo of a {}.', 'graffiti of a {}.']
  const { rankings } = json()
  const sumOf = (name: string) => rankings[0].candidates.find((candidate: { name: string }) => candidate.name === name).sum
  const wanted = await equation9(asked.map((text) => ({ fusion, template: text })))
  for (const [i, name] of asked.entries()) assert.ok(Math.abs(sumOf(name) / (wanted[i] as number) - 1) < 1e-5, name)
  const within = json('--rank', 'backgrounds').rankings[0].candidates
  const [own] = await equation9([{ template, fusion, background }], true)
  const ofFile = within.find(({ name }: { name: string }) => name === 'of the class file')
  assert.ok(Math.abs(ofFile.sum / (own as number) - 1) < 1e-5)
})

test('only a changed photo is encoded again', () => {
  const [id] = several[0] as [string, string[]]
  const file = join(photos, `${id}.png`)
  const bytes = readFileSync(file)
  writeFileSync(file, readFileSync(join(photos, `${several[1]?.[0]}.png`)))
  assert.equal([json().encoded, json().encoded], [1, 0])
  writeFileSync(file, bytes)
  assert.is(json().encoded, 1)
})

test('a run that was killed continues', async () => {
  const cache = join(folder, 'killed.jsonl')
  const args = [main, 'prompts', '--folder', photos, '--labels', labelsFile, '--cache', cache, '--threads', '1']
  const child = spawn(process.execPath, args, { stdio: 'ignore' })
  const lines = () => (existsSync(cache) ? readFileSync(cache, 'utf8').split('\n').length - 2 : 0)
  while (lines() < 3) await new Promise((done) => setTimeout(done, 5))
  child.kill('SIGKILL')
  await once(child, 'close')
  const kept = lines()
  const { encoded, reused, rankings } = json('--cache', cache)
  assert.equal([encoded + reused, reused], [several.length, kept])
  assert.equal(rankings, json('--cache', cache).rankings)
  // Photos are encoded alike, one thread or more: the same ranking as from the other file.
  assert.ok(Math.abs(rankings[0].candidates[0].mean / json().rankings[0].candidates[0].mean - 1) < 1e-4)
})

test('the table has place, sharpness, bar, mean score and candidate', () => {
  const { status, stdout, stderr } = prompts('--rank', 'fusions')
  assert.is(status, 0)
  assert.match(stderr, new RegExp(`${several.length} photos with two labels or more: ${several.length} encoded before, 0 to do`))
  const lines = stdout.trimEnd().split('\n')
  assert.match(lines[0] as string, new RegExp(`^fusions by sharpness over ${several.length} photos`))
  assert.is(lines[1], 'softmax over classes')
  assert.is(lines.length, 6)
  for (const line of lines.slice(3))
    assert.match(line, /^ {3}[123] {5}0\.\d{5} {2}█+[▏▎▍▌▋▊▉]? +0\.\d{5} {2}(sentence|feature|cam)$/)
})

test('synonyms are ranked for each class, over the photos that show it', () => {
  const { rankings } = json('--rank', 'synonyms')
  const shown = new Set(several.flatMap(([, labels]) => labels))
  for (const { class: name, candidates } of rankings) {
    assert.ok(shown.has(name))
    assert.is(candidates[0].photos, several.filter(([, labels]) => labels.includes(name)).length)
  }
  const dog = rankings.find((ranking: { class: string }) => ranking.class === 'dog')
  assert.equal(dog.candidates.map(({ name }: { name: string }) => name).sort(), ['dog', 'dog, puppy (feature)', 'puppy'])
})

test('lists of background words are ranked', () => {
  const { rankings, softmax } = json('--rank', 'backgrounds', '--background', 'grass,sky', '--background', 'snow')
  assert.is(softmax, 'classes and background words')
  const names = rankings[0].candidates.map(({ name }: { name: string }) => name)
  assert.equal(names.sort(), ['grass, sky', 'none', 'of the class file', 'snow', "the paper's for COCO", "the paper's for VOC"])
})

test('the plot is one SVG file without external resources', async () => {
  const file = join(folder, 'plot.svg')
  assert.is(prompts('--plot', file).status, 0)
  const svg = readFileSync(file, 'utf8')
  assert.match(svg, /^<\?xml[^>]*>\s*<svg[^>]* xmlns="http:\/\/www\.w3\.org\/2000\/svg"/)
  assert.is(svg.match(/<rect /g)?.length, 81)
  assert.match(svg, /a clean origami \{\}\./)
  const { width, height } = await sharp(Buffer.from(svg))
    .png()
    .toBuffer({ resolveWithObject: true })
    .then(({ info }) => info)
  assert.ok(width === 900 && height > 1000)
})

test('no photo with two labels is an error with the reason', () => {
  const one = join(folder, 'one.csv')
  writeFileSync(one, `${several[0]?.[0]}.png,dog\n`)
  const { status, stderr, stdout } = run('--folder', photos, '--labels', one)
  assert.is(status, 2)
  assert.is(stdout, '')
  assert.match(stderr, /none of the 1 photo has two labels or more; sharpness compares the labels of one photo/)
})

test('a photo that cannot be read is listed, the others are ranked, and the status is 1', () => {
  const [id] = several[0] as [string, string[]]
  const file = join(photos, `${id}.png`)
  const bytes = readFileSync(file)
  writeFileSync(file, bytes.subarray(0, 2000))
  const { status, stderr, stdout } = prompts('--json')
  writeFileSync(file, bytes)
  assert.is(status, 1)
  assert.match(stderr, new RegExp(`clip-es: ${id}: it is damaged`))
  const { failed, photos: ranked } = JSON.parse(stdout)
  assert.is(failed[0].id, id)
  assert.is(ranked, several.length - 1)
})

test('the error for a wrong command line says what would be right', () => {
  const set = ['--folder', photos, '--labels', labelsFile]
  for (const [args, message] of [
    [[], /prompts: name a data set: --voc DIR --split NAME/],
    [['--folder', photos], /prompts: --folder needs --labels/],
    [['--folder', photos, '--labels', 'auto'], /--labels must name a file/],
    [[...set, '--rank', 'words'], /Allowed choices are templates, synonyms, fusions, backgrounds/],
    [[...set, '--templates', 'none.txt'], /--templates: none\.txt: ENOENT.*known by name: paper, imagenet, all/],
    [[...set, '--templates', 'paper'], /there is nothing to compare: name more of them/],
    [[...set, '--template', 'a {}.'], /--template cannot be used with --rank templates, which compares them/],
    [[...set, '--rank', 'fusions', '--fusion', 'cam'], /--fusion cannot be used with --rank fusions/],
    [[...set, '--rank', 'fusions', '--templates', 'imagenet'], /--templates cannot be used with --rank fusions/],
    [[...set, '--background', 'sky'], /--background needs --with-background/],
    [[...set, '--with-background', '--background', 'sky', '--background', 'sea'], /--background is given 2 times/],
    [[...set, '--rank', 'fusions', '--template', `${'very '.repeat(80)}{}.`], /tokens/],
    [[...set, '--cache', labelsFile], /labels\.csv \(it does not contain embeddings of clip-es\)/],
    [[...set, '--plott', 'x.svg'], /Did you mean --plot\?/],
  ] as [string[], RegExp][]) {
    const { status, stderr, stdout } = run(...args)
    assert.is(status, 2, `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, message)
    assert.is(stdout, '')
  }
})

test.run()
