// The limits and the defaults of every command's options.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { program } from '../../cli/src/main.js'
import { integerFrom, numberFrom, someScales, someWords } from '../../cli/src/shared/usage.js'
import { root } from './support.js'

const commands = (command: Command, name = ''): [name: string, command: Command][] => [
  [name, command],
  ...command.commands.flatMap((child) => commands(child, `${name} ${child.name()}`.trim())),
]
const options = commands(program()).flatMap(([name, command]) =>
  command.options.map((option) => ({ name: `${name} ${option.long}`, option })),
)

/** What an option says to a value that nothing can mean. */
function refusal(parse: ((text: string, before: unknown) => unknown) | undefined): string | undefined {
  try {
    parse?.('x', undefined)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

const engine = ['segment', 'prompts', 'dataset', 'serve']
/** The options of several commands. */
const of = (names: readonly string[], ...all: string[]): string[] =>
  names.flatMap((name) => all.map((option) => `${name} --${option}`))

const numbers: Record<string, string[]> = {
  '0 to 1': [
    ...of(['segment', 'dataset'], 'label-threshold', 'min-score', 'background-below', 'box-threshold', 'ignore-below'),
    ...['crf --ignore-below', 'predict --ignore-below', 'eval --threshold', 'eval --thresholds', 'eval --boundary'],
    ...['train --weight-decay', 'train --threshold'],
  ],
  '0.25 to 4': of(['segment', 'dataset'], 'scales'),
  '0.05 to 20': [...of(['train'], 'msc', 'scales', 'test-scales'), 'predict --scales'],
  '0 to 1000000': [
    ...of(['segment', 'dataset', 'crf', 'eval'], 'background-power'),
    ...of(['crf'], 'position-weight', 'bilateral-weight'),
    ...['eval --powers', ...of(['train'], 'head-factor', 'head-bias-factor')],
  ],
  '0.001 to 1000000': [
    ...of(['crf'], 'position-sigma', 'bilateral-position-sigma', 'bilateral-colour-sigma'),
    ...of(['serve'], 'photo-megabytes', 'upload-megabytes', 'store-megabytes'),
    ...of(['serve'], 'store-seconds', 'upload-seconds', 'request-seconds', 'close-seconds'),
  ],
  '0.001 to 2000': ['serve --photo-megapixels'],
  '1e-12 to 1000000000000': of(['train'], 'learning-rate', 'clip'),
  '0 to 0.9999': ['train --momentum'],
  '0 to 100': ['train --power'],
}

const wholeNumbers: Record<string, string[]> = {
  '1 to 1024': of([...engine, 'train', 'predict', 'worker'], 'threads'),
  '1 to 64': of([...engine, 'worker'], 'concurrency'),
  '1 to 2147483647': of(engine, 'max-side'),
  '0 to 2147483647': ['train --seed'],
  '1 to 1000000': ['dataset --shard'],
  '0 to 1000': ['crf --rounds', 'report --pictures'],
  '1 to 1000000000': of(['train'], 'iterations', 'validate-every', 'checkpoint-every'),
  '1 to 4096': of(['train'], 'batch', 'accumulate'),
  '17 to 4097': ['train --crop'],
  '1 to 256': ['train --loaders'],
  '0 to 65535': ['serve --port'],
  '0 to 1000000': ['serve --queue'],
  '1 to 3600': ['worker --stalled-after'],
}

test('every option that takes a number says its limits', () => {
  const found = options.flatMap(({ name, option }) => {
    const message = refusal(option.parseArg as Parameters<typeof refusal>[0])
    return message?.includes('number from') ? [`${name}: ${message}`] : []
  })
  const expected = (kind: string, limits: Record<string, string[]>) =>
    Object.entries(limits).flatMap(([range, names]) => names.map((name) => `${name}: Expected a ${kind} from ${range}.`))
  assert.equal(found.sort(), [...expected('number', numbers), ...expected('whole number', wholeNumbers)].sort())
})

test('the limits themselves are accepted, and what is beyond them is refused', () => {
  const [number, whole] = [numberFrom(-1, 2.5), integerFrom(-1, 3)]
  assert.equal(['-1', '2.5', ' 0 ', '1e0'].map(number), [-1, 2.5, 0, 1])
  assert.equal(['-1', '3', ' 0 ', '1e0'].map(whole), [-1, 3, 0, 1])
  for (const text of ['-1.001', '2.501', '', ' ', 'NaN', '1,5', 'Infinity'])
    assert.throws(() => number(text), /^Expected a number/)
  for (const text of ['-2', '4', '', ' ', '1.5', 'NaN', '1,']) assert.throws(() => whole(text), /^Expected a whole number/)
  assert.equal(someScales(1, 2)('1,2,1.5'), [1, 2, 1.5])
  for (const text of ['', '1,', '1,3']) assert.throws(() => someScales(1, 2)(text), /from 1 to 2/)
  assert.equal(someWords('a, b'), ['a', 'b'])
  assert.throws(() => someWords(''), /Expected words, separated by commas/)
})

test('the defaults of options', () => {
  const found = Object.fromEntries(
    options.flatMap(({ name, option }) =>
      option.defaultValue === undefined || option.defaultValue === false ? [] : [[name, option.defaultValue]],
    ),
  )
  const queue = ['queue status', 'queue pause', 'queue resume', 'queue drain', 'queue retry-failed']
  assert.equal(found, {
    ...Object.fromEntries(of(['segment', 'dataset', 'crf', 'predict'], 'out').map((name) => [name, 'clip-es-out'])),
    ...{ 'export --out': 'clip-es-export', 'train --out': 'clip-es-run', 'demo --out': 'clip-es-demo' },
    ...Object.fromEntries(of(['segment', 'dataset'], 'maps').map((name) => [name, 'gradcam'])),
    ...Object.fromEntries(of(['dataset', 'crf'], 'background-power').map((name) => [name, 1])),
    ...Object.fromEntries(of(['dataset', 'crf', 'predict'], 'ignore-below').map((name) => [name, 0])),
    ...Object.fromEntries(of([...queue, 'dataset', 'worker'], 'name').map((name) => [name, 'clip-es'])),
    ...{ 'prompts --rank': 'templates', 'prompts --by': 'sharpness', 'prompts --templates': 'all', 'eval --boundary': 0.02 },
    ...{ 'report --pictures': 6, 'train --preset': 'small', 'train --seed': 1, 'train --loaders': 1 },
    ...{ 'train --device': 'auto', 'predict --device': 'auto', 'serve --host': '127.0.0.1', 'serve --port': 8080 },
    ...{ 'serve --batch-name': 'clip-es', 'serve --close-seconds': 30 },
    ...{ 'worker --root': '.', 'worker --model': [], 'worker --stalled-after': 30 },
  })
})

test('the options of every command are those of command_options.snapshot.txt', () => {
  const text = options.map(({ name, option }) => {
    const command = name.slice(0, name.lastIndexOf(' '))
    const { helpGroupHeading: group } = option as unknown as { helpGroupHeading?: string }
    return `${command} ${option.flags}${option.defaultValue === false ? ' = false' : ''}${group ? ` (${group})` : ''}\n`
  })
  const snapshot = join(root, 'test/unit/command_options.snapshot.txt')
  if (process.env.UPDATE_OPTIONS) writeFileSync(snapshot, text.join(''))
  const update = 'UPDATE_OPTIONS=1 node --import tsx test/unit/46.command_options.ts'
  assert.fixture(text.join(''), readFileSync(snapshot, 'utf8'), `the options have changed. If that is intended, run: ${update}`)
})

test('the choices of options, the options that exclude each other, and the arguments of commands', () => {
  const table = (part: (option: (typeof options)[0]['option']) => readonly string[] | undefined) =>
    Object.fromEntries(options.flatMap(({ name, option }) => (part(option)?.length ? [[name, part(option)?.join()]] : [])))
  const maps = 'gradcam,similarity,clip,naclip,resclip,sc-clip'
  assert.equal(
    table((option) => option.argChoices),
    {
      ...Object.fromEntries(of(['segment', 'prompts'], 'fusion').map((name) => [name, 'sentence,feature,cam'])),
      ...Object.fromEntries(of(['segment', 'dataset'], 'maps').map((name) => [name, maps])),
      ...Object.fromEntries(of(engine, 'precision').map((name) => [name, 'auto,float32,bfloat16,int8'])),
      ...{ 'prompts --rank': 'templates,synonyms,fusions,backgrounds', 'prompts --by': 'sharpness,entropy' },
      ...{ 'export --format': 'coco,yolo,labelme,label-studio,grey,rgb', 'train --preset': 'small,voc,voc-coco-init,coco' },
      ...{ 'train --network': 'small,deeplabv2-resnet50,deeplabv2-resnet101', 'train --confidence': 'hard,soft,off' },
      ...{ 'serve --log': 'debug,info,warn,error' },
    },
  )
  const sets = ['prompts', 'dataset', 'predict'].map((name) => {
    return { [`${name} --voc`]: 'coco,folder', [`${name} --coco`]: 'voc,folder', [`${name} --folder`]: 'voc,coco' }
  })
  assert.equal(
    table((option) => (option as unknown as { conflictsWith: string[] }).conflictsWith),
    Object.assign({}, ...sets, {
      'prompts --thresholds': 'rank,by,templates,withBackground,plot,cache',
      'eval --threshold': 'backgroundPower',
    }),
  )
  assert.equal(
    options.filter(({ option }) => option.mandatory).map(({ name }) => name),
    ['export --format'],
  )
  const found = commands(program()).flatMap(([name, command]) =>
    command.registeredArguments.map((one) => {
      const text = `${one.name()}${one.variadic ? '...' : ''}${one.defaultValue === undefined ? '' : ` = ${one.defaultValue}`}`
      return `${name} ${one.required ? `<${text}>` : `[${text}]`}`
    }),
  )
  const queue = ['status', 'pause', 'resume', 'drain', 'retry-failed'].map((name) => `queue ${name} <url>`)
  assert.equal(found, [
    ...['segment <photo...>', 'crf <maps>', 'eval [results = clip-es-out]', 'report [results = clip-es-out]', 'export <results>'],
    ...['train <results>', 'predict <run>', 'predict [photo...]', ...queue, 'worker <url>'],
  ])
})

test.run()
