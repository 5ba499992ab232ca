// tools/export_archive.py: what open_clip and transformers save, exported and loaded, gives the embeddings that those libraries compute;
// what the engine does not compute is refused, with the reason. Needs a Python with torch, open_clip and transformers.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readNpy } from '../../ts/formats/npy.js'
import { Segmenter } from '../../ts/index.js'
import { Archive } from '../integration/archive.js'
import { SavedClasses } from '../integration/saved_classes.js'
import { largestDifference } from '../integration/support.js'
import { testIf } from '../test_if.js'
import { main, root, scenes } from './support.js'

const python = process.env.CLIP_ES_TEST_PYTHON || 'python3'
const tools = join(root, 'tools')
const models = join(mkdtempSync(join(tmpdir(), 'clip-es-export-')), 'models')
const tolerance = 1e-4

function runPython(args: string[]): string {
  const env = { ...process.env, HF_HUB_OFFLINE: '1' }
  const { status, stdout, stderr, error } = spawnSync(python, args, { encoding: 'utf8', env, cwd: tools })
  assert.is(status, 0, error?.message ?? stderr)
  return stdout
}

const wanted = ['torch', 'open_clip', 'transformers', 'safetensors']
const look = `from importlib.util import find_spec\nprint(*(name for name in ${JSON.stringify(wanted)} if not find_spec(name)))`
const looked = spawnSync(python, ['-c', look], { encoding: 'utf8' })
const missing = looked.status === 0 ? looked.stdout.trim() : 'Python'
const exportTest = testIf(!missing, `export of checkpoints: ${python} lacks ${missing}; CLIP_ES_TEST_PYTHON names another`)

/** Exports each, in one process; gives the error of each, or undefined. */
function exportAll(calls: string[][]): (string | undefined)[] {
  const driver = `import json, sys
sys.path.insert(0, sys.argv.pop(1))
import export_archive
for call in json.loads(sys.argv.pop(1)):
    sys.argv[1:] = call
    try:
        export_archive.main()
        print(json.dumps({}))
    except SystemExit as stop:
        print(json.dumps({"error": str(stop)}))`
  const said = runPython(['-c', driver, tools, JSON.stringify(calls)])
  const lines = said.split('\n').filter((line) => line.startsWith('{'))
  return lines.map((line) => (JSON.parse(line) as { error?: string }).error)
}

interface Embedded {
  texts: Float32Array
  image: Float32Array
  patches: Float32Array
}

/** What the product computes of a case's photo and texts with an archive. */
async function embed(name: string, archive: string): Promise<Embedded> {
  const at = (file: string) => join(models, name, file)
  await using segmenter = await Segmenter.load(archive, { threads: 2, precision: 'float32' })
  const side = segmenter.model.resolution
  const classes = await segmenter.encodeClasses(JSON.parse(readFileSync(at('texts.json'), 'utf8')), {
    template: '{}',
    background: [],
  })
  await classes.save(at('classes.safetensors'))
  const rows = new SavedClasses(at('classes.safetensors')).rows('rows').flatMap((row) => [...row])
  const encoded = await segmenter.encode({ data: new Uint8Array(readFileSync(at('photo.bin'))), width: side, height: side })
  const { image, patches } = await encoded.embeddings({ patches: true })
  return { texts: new Float32Array(rows), image, patches: patches as Float32Array }
}

function differences(name: string, found: Embedded): number[] {
  return (['texts', 'image', 'patches'] as const).map((part) =>
    largestDifference(found[part], readNpy(readFileSync(join(models, name, `${part}.npy`))).values as Float32Array),
  )
}

const exported = (name: string): string => join(models, name, 'model.pt')
let names: string[] = []

exportTest('checkpoints of both libraries are exported', () => {
  runPython([join(root, 'test/e2e/export_models.py'), models])
  names = readdirSync(models)
  assert.is(names.length, 5)
  const calls = names.map((name) => {
    const architecture = join(models, name, 'architecture.json')
    return [
      join(models, name, 'checkpoint'),
      exported(name),
      ...(existsSync(architecture) ? ['--architecture', architecture] : []),
    ]
  })
  assert.equal(
    exportAll(calls),
    names.map(() => undefined),
  )
  assert.equal(
    names.flatMap((name) => readdirSync(join(models, name)).filter((file) => file.endsWith('.part'))),
    [],
  )
})

exportTest("texts, photos and patches have the libraries' own embeddings", async () => {
  for (const name of names) {
    const found = differences(name, await embed(name, exported(name)))
    const [texts, image, patches] = found.map((value) => value.toExponential(1))
    console.log(`  ${name}: texts ${texts}, photo ${image}, patches ${patches}`)
    assert.ok(Math.max(...found) < tolerance, `${name}: ${found}`)
  }
})

exportTest('that comparison sees a wrong activation, number of heads, and mean', async () => {
  const name = 'transformers, quick_gelu, in shards'
  const record = 'extra/clip-es.json'
  for (const change of [
    (json: string) => json.replace('quick_gelu', 'gelu'),
    (json: string) => json.replace('"image": 4', '"image": 2'),
    (json: string) => json.replace('"text": 2', '"text": 4'),
    (json: string) => json.replace('0.4578275', '0.5578275'),
  ]) {
    const archive = new Archive(exported(name))
    const before = archive.record(record).toString()
    assert.is.not(change(before), before)
    archive.replace(record, change(before))
    const spoilt = join(models, 'spoilt.pt')
    writeFileSync(spoilt, archive.bytes())
    assert.ok(Math.max(...differences(name, await embed(name, spoilt))) > 10 * tolerance, change(before))
  }
})

/** A folder like a good one, but for what `change` does to its configuration. */
function variant(name: string, from: string, config: string, change: (json: Record<string, Json>) => void): string {
  const source = join(models, from, 'checkpoint')
  const target = join(models, 'variants', name)
  mkdirSync(target, { recursive: true })
  for (const file of readdirSync(source)) if (file !== config) symlinkSync(join(source, file), join(target, file))
  const json = JSON.parse(readFileSync(join(source, config), 'utf8')) as Record<string, Json>
  change(json)
  writeFileSync(join(target, config), JSON.stringify(json))
  return target
}
// biome-ignore lint/suspicious/noExplicitAny: somebody else's configuration, of any form
type Json = any

const openClip = (name: string, part: string, change: Record<string, Json>) =>
  variant(name, 'open_clip, gelu, heads of 32', 'open_clip_config.json', ({ model_cfg }) =>
    Object.assign(part ? model_cfg[part] : model_cfg, change),
  )
const transformers = (name: string, change: (json: Record<string, Json>) => void) =>
  variant(name, 'transformers, gelu, float16', 'config.json', change)

exportTest('the commands of docs/models.md export', () => {
  const at = join(models, 'page')
  mkdirSync(join(at, 'bin'), { recursive: true })
  const { stdout } = spawnSync('sh', ['-c', `command -v "${python}"`], { encoding: 'utf8' })
  writeFileSync(join(at, 'bin/python'), `#!/bin/sh\nexec "${stdout.trim()}" "$@"\n`, { mode: 0o755 })
  writeFileSync(join(at, 'bin/clip-es'), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`, { mode: 0o755 })
  symlinkSync(tools, join(at, 'tools'))
  symlinkSync(join(models, 'open_clip, gelu, heads of 32', 'checkpoint'), join(at, 'CLIP-ViT-B-16-laion2B'))
  symlinkSync(join(models, 'open_clip, gelu, heads of 88', 'checkpoint'), join(at, 'epoch_32.pt'))
  symlinkSync(join(models, 'open_clip, gelu, heads of 88', 'architecture.json'), join(at, 'ViT-B-16.json'))
  symlinkSync(join(scenes, 'scene05.png'), join(at, 'photo.jpg'))
  const page = readFileSync(join(root, 'docs/models.md'), 'utf8')
  const [, commands = ''] = page.match(/^```sh\n([\s\S]*?)^```$/m) ?? []
  assert.is(commands.match(/export_archive\.py/g)?.length, 3)
  const env = { ...process.env, PATH: `${join(at, 'bin')}:${process.env.PATH}` }
  const run = spawnSync('bash', ['-ec', commands], { encoding: 'utf8', cwd: at, env })
  assert.is(run.status, 0, run.stdout + run.stderr)
  assert.match(run.stdout, /mine\.pt: .+"mean": \[0\.5, 0\.5, 0\.5\]/)
  assert.ok(existsSync(join(at, 'clip-es-out/photo.png')))
})

exportTest('what cannot become an archive is refused, and says why', () => {
  const good = join(models, 'open_clip, gelu, heads of 32', 'checkpoint')
  mkdirSync(join(models, 'empty'))
  writeFileSync(join(models, 'broken.pt'), 'no pickle')
  const architecture = ['--architecture', join(models, 'open_clip, gelu, heads of 88', 'architecture.json')]
  const cases: [string[], RegExp][] = [
    [[join(models, 'nowhere')], /nowhere: it does not exist$/],
    [[join(models, 'empty')], /neither open_clip_config\.json nor config\.json .+ give --architecture, such as ViT-B-16$/],
    [[join(root, 'test/golden/vit-small-random.pt'), ...architecture], /is a TorchScript archive: OpenAI's load as they are/],
    [[join(models, 'broken.pt'), ...architecture], /broken\.pt (holds more than tensors, or is damaged|cannot be read)/],
    [[join(good, 'open_clip_model.safetensors'), '--architecture', 'ViT-Z'], /open_clip knows no architecture ViT-Z/],
    [[openClip('resnet', 'vision_cfg', { layers: [3, 4, 6, 3] })], /it is a ResNet/],
    [[openClip('timm', 'vision_cfg', { timm_model_name: 'vit_base' })], /a timm model.+timm_model_name is 'vit_base'/],
    [
      [openClip('attention', 'vision_cfg', { attentional_pool: true })],
      /pools patches before its last LayerNorm, or by attention/,
    ],
    [[openClip('late', 'vision_cfg', { final_ln_after_pool: true })], /pools patches.+final_ln_after_pool is True/],
    [[openClip('scaled', 'vision_cfg', { ls_init_value: 0.1 })], /transformer blocks differ.+ls_init_value is 0\.1/],
    [[openClip('new', 'vision_cfg', { rope: true })], /transformer blocks differ.+rope is True/],
    [[openClip('tanh', 'text_cfg', { act_kwargs: { approximate: 'tanh' } })], /transformer blocks differ.+'tanh'/],
    [[openClip('bert', 'text_cfg', { hf_model_name: 'roberta-base' })], /text tower is not CLIP's.+hf_model_name/],
    [[openClip('both', 'text_cfg', { no_causal_mask: true })], /text tower is not CLIP's.+no_causal_mask is True/],
    [[openClip('last', 'text_cfg', { pool_type: 'last' })], /text tower is not CLIP's.+pool_type is 'last'/],
    [[openClip('words', 'text_cfg', { vocab_size: 32000 })], /another tokenizer.+32000/],
    [[openClip('coca', '', { multimodal_cfg: {} })], /its configuration has multimodal_cfg, which CLIP lacks$/],
    [[transformers('siglip', (json) => Object.assign(json, { model_type: 'siglip' }))], /it is a SigLIP/],
    [[transformers('blip', (json) => Object.assign(json, { model_type: 'blip' }))], /model_type is 'blip', not 'clip'/],
    [
      [transformers('half', (json) => Object.assign(json, { architectures: ['CLIPVisionModelWithProjection'] }))],
      /images and words are both needed/,
    ],
    [[transformers('mixed', (json) => (json.text_config.hidden_act = 'quick_gelu'))], /image tower's hidden_act is 'gelu'/],
    [[transformers('eps', (json) => (json.vision_config.layer_norm_eps = 1e-6))], /layer_norm_eps is 1e-06/],
    [[transformers('end', (json) => (json.text_config.eos_token_id = 7))], /another tokenizer.+eos_token_id is 7/],
    [[transformers('heads', (json) => (json.vision_config.num_attention_heads = 7))], /width 64 does not divide into 7 heads/],
  ]
  const out = join(models, 'refused.pt')
  const errors = exportAll(cases.map(([[path, ...more]]) => [path as string, out, ...more]))
  assert.is(errors.length, cases.length)
  for (const [i, [args, expected]] of cases.entries()) assert.match(errors[i] ?? 'exported', expected, args.join(' '))
  assert.not(existsSync(out))
})

exportTest('a tensor that is missing, one too many, and one that is not finite are named', () => {
  const spoil = `import sys, torch
from pathlib import Path
source, out = map(Path, sys.argv[1:])
state = torch.load(source, weights_only=True)["state_dict"]
def write(name, change):
    changed = dict(state)
    change(changed)
    torch.save(changed, out / name)
write("missing", lambda s: s.pop("module.visual.ln_pre.bias"))
write("more", lambda s: s.update({"module.visual.register_tokens": torch.zeros(4, 176)}))
write("nan", lambda s: s.update({"module.ln_final.bias": torch.full((80,), float("nan"))}))`
  const from = join(models, 'open_clip, gelu, heads of 88')
  runPython(['-c', spoil, join(from, 'checkpoint'), models])
  const architecture = ['--architecture', join(from, 'architecture.json')]
  const errors = exportAll(['missing', 'more', 'nan'].map((name) => [join(models, name), join(models, 'x.pt'), ...architecture]))
  assert.match(errors[0] ?? '', /blocks differ from CLIP's: it is without visual\.ln_pre\.bias$/)
  assert.match(errors[1] ?? '', /it is with visual\.register_tokens$/)
  assert.match(errors[2] ?? '', /tensor ln_final\.bias holds a value that is not finite/)
})

test.after(() => rmSync(join(models, '..'), { recursive: true, force: true }))
test.run()
