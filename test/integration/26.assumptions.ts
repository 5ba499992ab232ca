// What the library says of a model whose file does not name its activation and heads.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Archive } from './archive.js'
import { inChild, load, modelPath, otherModelPath, temporaryFolder } from './support.js'

const folder = temporaryFolder()

/** OpenAI's kind of archive, without the code that torch.jit.save writes. */
function stateDict(name: string, config?: string): string {
  const archive = new Archive(otherModelPath)
  archive.remove('code')
  if (config) archive.add('extra/clip-es.json', config)
  const path = join(folder, name)
  writeFileSync(path, archive.bytes())
  return path
}

async function told(path: string) {
  const segmenter = await load(path)
  const { activation, heads, assumed } = segmenter.model
  await segmenter.close()
  return { activation, heads, assumed }
}

test('segmenter.model has the activation and heads, and lists what was assumed', async () => {
  assert.equal((await told(modelPath)).assumed, [])
  const archive = await told(otherModelPath)
  assert.equal({ activation: archive.activation, assumed: archive.assumed }, { activation: 'quickgelu', assumed: [] })
  assert.equal(await told(stateDict('bare.pt')), { ...archive, assumed: ['activation', 'heads'] })
  assert.equal(await told(stateDict('gelu.pt', '{"activation": "gelu"}')), {
    ...archive,
    activation: 'gelu',
    assumed: ['heads'],
  })
})

test('a bare state dict gives one warning for each path, and other archives give none', () => {
  const [first, second] = [stateDict('first.pt'), stateDict('second.pt')]
  const { result, stderr } = inChild(`
    const warnings = []
    process.on('warning', ({ code, message }) => warnings.push([code, message]))
    for (const path of ${JSON.stringify([otherModelPath, first, second, first])})
      await clip.Segmenter.load(path, { threads: 1 }).then((segmenter) => segmenter.close())
    await new Promise(setImmediate)
    return warnings`)
  const warnings = result as [string, string][]
  assert.equal(
    warnings.map(([code, message]) => [code, message.split(' ')[1]]),
    [
      ['CLIP_ES_ASSUMED', first],
      ['CLIP_ES_ASSUMED', second],
    ],
  )
  assert.match(warnings[0]?.[1] ?? '', /activation and heads; QuickGELU and heads of width 64 .* GELU.*export_archive\.py$/)
  assert.match(stderr, /\[CLIP_ES_ASSUMED\] Warning: clip-es: /)
})

test.run()
