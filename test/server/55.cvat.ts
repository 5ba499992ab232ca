// A detector of CVAT: requests as CVAT sends them, answers against the direct API, and the Nuclio function of examples/cvat.
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'
import { type CvatShape, cvatMask, cvatShapes } from '../../server/src/protocols/cvat/shapes.js'
import type { ServiceResult } from '../../server/src/service/service.js'
import { decodeRle, encodeRings, type LabelMap } from '../../ts/photos/index.js'
import { testIf } from '../test_if.js'
import { mapOf, randomMap } from '../unit/masks.js'
import { postJson, problem, root, sceneFile, sceneLabels, startServer } from './support.js'

const scene = sceneFile('scene01')
const image = scene.toString('base64')
const words = [...sceneLabels('scene01'), 'dog', 'bus']

/** The pixels of a mask, as CVAT reads them: rows of a box, and the box's first and last pixel. */
function pixelsOf(mask: readonly number[], width: number, height: number): Uint8Array {
  const [left, top, right, bottom] = mask.slice(-4) as [number, number, number, number]
  const boxWidth = right - left + 1
  assert.is(mask.length - 4, boxWidth * (bottom - top + 1))
  const pixels = new Uint8Array(width * height)
  for (const [i, inside] of mask.slice(0, -4).entries())
    if (inside) pixels[(top + Math.floor(i / boxWidth)) * width + left + (i % boxWidth)] = 1
  return pixels
}

const inside = (ring: readonly number[], { width, height }: LabelMap): Uint8Array =>
  decodeRle(encodeRings([ring], width, height)).data

test('a mask is cut out: its rows, then the left, top, right and bottom pixel', () => {
  assert.equal(cvatMask(mapOf('.....', '..##.', '...#.', '.....')), [1, 1, 0, 1, 2, 1, 3, 2])
  assert.equal(cvatMask(mapOf('#')), [1, 0, 0, 0, 0])
  const map = randomMap(9, 7, [0.5, 0.5], 1)
  assert.equal(pixelsOf(cvatMask(map), 9, 7), map.data)
})

const about = { label: 'cat', confidence: '0.5' }

test('a mask of one region has its outline; one of several has none, unless each is a shape of its own', () => {
  const one = mapOf('....', '.11.', '.111', '..22')
  const [shape, ...others] = cvatShapes(one, 1, about, { type: 'mask', regions: false }) as [CvatShape]
  assert.equal([others.length, shape.type, shape.label, shape.confidence], [0, 'mask', 'cat', '0.5'])
  const ones = one.data.map((value) => Number(value === 1))
  assert.equal(pixelsOf(shape.mask as number[], 4, 4), ones)
  assert.equal(inside(shape.points as number[], one), ones)
  const two = mapOf('11..', '....', '.111', '.1.1', '.111')
  assert.is(cvatShapes(two, 1, about, { type: 'mask', regions: false })[0]?.points, undefined)
  const each = cvatShapes(two, 1, about, { type: 'mask', regions: true })
  assert.is(each.length, 2)
  for (const { mask, points } of each) assert.equal(inside(points as number[], two), pixelsOf(mask as number[], 4, 5))
})

test('polygons and masks of regions hold the pixels of their classes, and no pixel twice', () => {
  const map = randomMap(20, 15, [0.3, 0.4, 0.3], 5)
  for (const options of [{ type: 'polygon', regions: false } as const, { type: 'mask', regions: true } as const])
    for (const value of [1, 2]) {
      const painted = new Uint8Array(map.data.length)
      for (const { type, mask, points, group_id } of cvatShapes(map, value, about, options)) {
        assert.equal([type, group_id], [options.type, type === 'polygon' ? value : undefined])
        const pixels = mask ? pixelsOf(mask, 20, 15) : inside(points as number[], map)
        for (const [i, there] of pixels.entries()) if (there) painted[i] = (painted[i] as number) + 1
      }
      assert.equal(
        painted,
        map.data.map((other) => Number(other === value)),
      )
    }
  assert.equal(cvatShapes(map, 7, about, { type: 'mask', regions: true }), [])
})

let server: RunningServer
test.before(async () => {
  server = await startServer()
})
test.after(() => server.close())

async function detect(body: object, query = ''): Promise<CvatShape[]> {
  const response = await postJson(server, `/cvat${query}`, body)
  assert.is(response.status, 200, await response.clone().text())
  return (await response.json()) as CvatShape[]
}

const direct = async (options: object = {}): Promise<ServiceResult> => {
  const { signal } = new AbortController()
  return await server.service.segment({ photo: scene, classes: words, options: { labels: 'auto', ...options }, signal })
}

/** The mask that shapes paint, which must not overlap. */
function painted(shapes: readonly CvatShape[]): Uint8Array {
  const all = new Uint8Array(320 * 240)
  for (const { type, label, mask } of shapes) {
    assert.is(type, 'mask')
    for (const [i, there] of pixelsOf(mask as number[], 320, 240).entries())
      if (there) {
        assert.is(all[i], 0)
        all[i] = words.indexOf(label) + 1
      }
  }
  return all
}

test('masks have the pixels of the direct API', async () => {
  const { mask, labels, presence } = await direct()
  const shapes = await detect({ image, classes: words })
  assert.equal(
    shapes.map(({ label }) => label),
    labels,
  )
  assert.equal(painted(shapes), mask)
  for (const [i, { confidence }] of shapes.entries()) {
    assert.type(confidence, 'string')
    assert.ok(Math.abs(Number(confidence) - ((presence as Float32Array)[i] as number)) < 1e-4)
  }
})

test('a threshold says how sure CLIP must be; options and classes may be in the query', async () => {
  assert.equal(await detect({ image, classes: words, threshold: 1 }), [])
  const all = await detect({ image, threshold: 0 }, `?classes=${words}&crf=true`)
  assert.equal(painted(all), (await direct({ labelThreshold: 0, crf: true })).mask)
  assert.equal(await detect({ image, threshold: null, classes: words }), await detect({ image, classes: words }))
  const named = await detect({ image }, '?classes=emoji&type=polygon')
  assert.ok(named.length > 0 && named.every(({ type, points }) => type === 'polygon' && (points as number[]).length >= 8))
})

test('wrong requests are refused', async () => {
  const wrong: [body: object, query: string, message: string][] = [
    [{ classes: words }, '', 'image is not a photo in base64'],
    [{ image: 7, classes: words }, '', 'image is not a photo in base64'],
    [{ image: Buffer.from('text').toString('base64'), classes: words }, '', 'the image: it is not an image'],
    [{ image }, '', 'classes is missing'],
    [{ image, classes: [] }, '', 'classes'],
    [{ image, classes: ['cat', 'cat'] }, '', 'cat'],
    [{ image, classes: words, threshold: 2 }, '', 'labelThreshold is 2'],
    [{ image, classes: words, threshold: 'high' }, '', "labelThreshold is 'high'; expected a number"],
    [{ image, classes: words }, '?type=box', "unknown type 'box'"],
    [{ image, classes: words }, '?regions=yes', "regions is 'yes'; expected true or false"],
    [{ image, classes: words }, '?crv=true', "unknown option 'crv'; did you mean 'crf'?"],
  ]
  for (const [body, query, message] of wrong)
    assert.match((await problem(await postJson(server, `/cvat${query}`, body), 400)).detail, message)
  const large = await startServer({ segmenter: server.service.segmenter, limits: { photoBytes: 1000, jsonBytes: 1000 } })
  await problem(await postJson(large, '/cvat', { image, classes: words }), 413)
  await problem(await postJson(large, '/cvat', { image: 'A'.repeat(2000), classes: words }), 413)
  await large.close()
})

const hasYaml = spawnSync('python3', ['-c', 'import yaml']).status === 0
const functionTest = testIf(hasYaml, 'the Nuclio function: there is no python3 with yaml')

/** Nuclio, as far as the function sees it. */
const nuclio = `
import json, sys, types
sys.path.insert(0, sys.argv[1])
import main

class Response:
    def __init__(self, body, headers, content_type, status_code):
        self.body, self.content_type, self.status_code = body, content_type, status_code

logged = []
context = types.SimpleNamespace(user_data=types.SimpleNamespace(), logger=types.SimpleNamespace(error=logged.append), Response=Response)
main.init_context(context)
response = main.handler(context, types.SimpleNamespace(body=json.load(sys.stdin)))
print(json.dumps({"status": response.status_code, "type": response.content_type, "body": json.loads(response.body), "logged": logged}))
`

interface FunctionResult {
  status: number
  type: string
  body: unknown
  logged: string[]
}

async function runFunction(event: object, env: Record<string, string>): Promise<FunctionResult> {
  const folder = join(root, 'examples/cvat')
  const child = spawn('python3', ['-B', '-c', nuclio, folder], {
    env: { ...process.env, FUNCTION_FILE: join(folder, 'function.yaml'), CLIP_ES_URL: server.url, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.stdin.end(JSON.stringify(event))
  let text = ''
  for await (const chunk of child.stdout) text += chunk
  return JSON.parse(text) as FunctionResult
}

functionTest('the Nuclio function adds its classes and passes on what the server says', async () => {
  const spec = JSON.parse(
    /spec: \|\n([\s\S]*?)\n\n/.exec(readFileSync(join(root, 'examples/cvat/function.yaml'), 'utf8'))?.[1] as string,
  )
  const classes = (spec as { name: string; synonyms?: string[] }[]).map(({ name, synonyms }) => ({
    name,
    ...(synonyms && { synonyms }),
  }))
  const { status, type, body, logged } = await runFunction({ image, threshold: 0 }, {})
  assert.equal([status, type, logged], [200, 'application/json', []])
  assert.equal(body, await detect({ image, threshold: 0, classes }))
  const polygons = await runFunction({ image, threshold: 0 }, { CLIP_ES_OPTIONS: 'type=polygon' })
  assert.equal(polygons.body, await detect({ image, threshold: 0, classes }, '?type=polygon'))
})

functionTest('the Nuclio function says what went wrong, in the log and by its status', async () => {
  const wrong = await runFunction({ image: 'AAAA' }, {})
  assert.is(wrong.status, 400)
  assert.match(wrong.logged[0] as string, 'it is not an image')
  const away = await runFunction({ image }, { CLIP_ES_URL: 'http://127.0.0.1:1' })
  assert.is(away.status, 502)
  assert.match(away.logged[0] as string, 'does not answer')
  const locked = await startServer({ segmenter: server.service.segmenter, keys: ['a-key-of-sixteen-characters'] })
  const env = { CLIP_ES_URL: locked.url }
  assert.is((await runFunction({ image }, env)).status, 401)
  assert.is((await runFunction({ image }, { ...env, CLIP_ES_API_KEY: 'a-key-of-sixteen-characters' })).status, 200)
  await locked.close()
})

test.run()
