// What all commands share: errors of use, options given twice, devices, folders for results, waiting, and what a terminal shows.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { program } from '../../cli/src/main.js'
import { Bits } from '../../cli/src/shared/bits.js'
import { classFileNamed } from '../../cli/src/shared/class_sets.js'
import { encodeClasses } from '../../cli/src/shared/encode_classes.js'
import { addEngineOptions, deviceFrom, loadOptions } from '../../cli/src/shared/engine_options.js'
import { encodedEntries, thresholdSettings } from '../../cli/src/shared/label_threshold.js'
import { makeOutFolder, writeOutput } from '../../cli/src/shared/out_folder.js'
import { hasBar, oneLine, printable } from '../../cli/src/shared/say.js'
import { asUsage, collecting, refuseRepeats, UsageError, words } from '../../cli/src/shared/usage.js'
import { commandVersion } from '../../cli/src/shared/version.js'
import { breathe, sleep } from '../../cli/src/shared/wait.js'
import { ClipEsError } from '../../ts/core/errors.js'
import { classSets, type Segmenter } from '../../ts/index.js'
import { having } from './machine_support.js'
import { reasonOf, root, temporaryFolder } from './support.js'

const folder = temporaryFolder()

test('an error of an argument is one of use with the same message, and other errors stay what they are', async () => {
  const throwing = (error: Error) => () => {
    throw error
  }
  const wrong = await reasonOf(asUsage(throwing(new ClipEsError('ERR_INVALID_ARG', 'no such'))))
  assert.ok(wrong instanceof UsageError)
  assert.is(wrong.message, 'no such')
  for (const error of [new ClipEsError('ERR_CLOSED', 'closed'), new TypeError('x')])
    assert.is(await reasonOf(asUsage(throwing(error))), error)
  assert.is(await asUsage(async () => 3), 3)
})

const parse = (command: Command, ...args: string[]) => {
  refuseRepeats(command.exitOverride().configureOutput({ writeErr() {} }))
  return command.parse(args, { from: 'user' }).opts()
}

test('an option with a value may be given once, a list with each of its values, and a switch as often as one likes', () => {
  const command = () =>
    new Command('x')
      .option('--one <a>')
      .option('--maybe [a]')
      .option('--classes <words>', '', words)
      .option('--more <a>', '', collecting(Number))
      .option('--switch')
  assert.equal(parse(command(), '--one', '1', '--more', '2', '--more', '3', '--switch', '--switch'), {
    ...{ one: '1', more: [2, 3], switch: true },
  })
  for (const [args, message] of [
    [['--one', '1', '--one', '1'], 'x: --one is given twice; give it once'],
    [['--maybe', '--maybe'], 'x: --maybe is given twice; give it once'],
    [['--classes', 'a', '--classes', 'b'], 'x: --classes is given twice; give it once, with all its words separated by commas'],
  ] as const)
    assert.throws(
      () => parse(command(), ...args),
      (error: Error) => error instanceof UsageError && error.message === message,
    )
  assert.throws(() => words('"a'), /argument|quote|"/)
})

test('devices are auto, cpu, cuda and cuda:N', () => {
  for (const device of ['auto', 'cpu', 'cuda', 'cuda:0', 'cuda:12']) assert.is(deviceFrom(device), device)
  for (const device of ['', 'gpu', 'cuda:', 'cuda:x', 'xcpu', 'cpu1', 'CPU'])
    assert.throws(() => deviceFrom(device), /^Expected auto, cpu, cuda or cuda:N\.$/)
})

test('the engine gets its options from the command line, and no others', () => {
  const command = addEngineOptions(new Command()).option('--other <x>')
  const flags = [
    '--model=m',
    '--precision=int8',
    '--device=cpu',
    '--threads=2',
    '--concurrency=3',
    '--max-side=none',
    '--weights-folder=w',
  ]
  assert.equal(loadOptions(parse(command, ...flags, '--other=1')), {
    ...{ model: 'm', precision: 'int8', device: 'cpu', threads: 2, concurrency: 3 },
    ...{ maxSide: Number.POSITIVE_INFINITY, weightsFolder: 'w' },
  })
})

test('an error of use ends with the way to the help of its command, and the version is the one of the package', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'cli/package.json'), 'utf8'))
  assert.is(commandVersion(), version)
  const said = (...args: string[]) => {
    let text = ''
    const write = (part: string) => {
      text += part
      return true
    }
    having(process.stderr, { write }, () => {
      assert.throws(() => program().parse(args, { from: 'user' }))
    })
    return text
  }
  assert.is(
    said('eval', '--trth'),
    "error: unknown option '--trth'\n(Did you mean --truth?)\nRun clip-es eval --help to see what it accepts.\n",
  )
  assert.match(said('queue', 'status'), /\nRun clip-es queue status --help to see what it accepts\.\n$/)
  assert.match(said('segment', '--maps', '\u001b[31m'), /\\u001b\[31m/)
})

test('a class file is a file, else a set of the package', () => {
  const before = process.cwd()
  process.chdir(folder)
  try {
    assert.is(classFileNamed('voc'), classSets.voc)
    assert.is(classFileNamed('coco'), classSets.coco)
    assert.is(classFileNamed('emoji').classes.length, 72)
    writeFileSync('voc', '{"classes": [{"name": "mine"}]}')
    assert.is(classFileNamed('voc').classes[0]?.name, 'mine')
    assert.throws(() => classFileNamed('gone.json'), /^gone\.json: cannot be read/)
  } finally {
    process.chdir(before)
  }
})

test('background words that are classes are named', async () => {
  const segmenter = { encodeClasses: async () => ({ droppedBackground: ['sky', 'sea'] }) } as unknown as Segmenter
  const lines: string[] = []
  await having(console, { error: (line: string) => lines.push(line) }, () => encodeClasses(segmenter, [], {}))
  assert.equal(lines, ['clip-es: these background words are not used, because they are also classes: sky, sea'])
})

test("a run's settings have thresholds only where CLIP finds the labels, and one for all replaces the class file's", () => {
  const classes = [{ name: 'a', labelThreshold: 0.5 }, { name: 'b' }]
  const plain = [{ name: 'a' }, { name: 'b' }]
  assert.equal(thresholdSettings(classes, false, undefined), { classes: plain })
  assert.equal(thresholdSettings(classes, true, undefined), { classes, labelThreshold: 0.15 })
  assert.equal(thresholdSettings(classes, true, 0), { classes: plain, labelThreshold: 0 })
  assert.equal(encodedEntries({ classes }), classes)
  assert.equal(encodedEntries({ classes, labelThreshold: 0.25 }), [
    { name: 'a', labelThreshold: 0.5 },
    { name: 'b', labelThreshold: 0.25 },
  ])
})

test('folders and files that cannot be written are named with the option', () => {
  makeOutFolder('x', join(folder, 'a/b/c'))
  assert.ok(existsSync(join(folder, 'a/b/c')))
  writeFileSync(join(folder, 'file'), '')
  const check = (work: () => void, start: string, end: string) =>
    assert.throws(work, (error: ClipEsError) => {
      assert.is(error.code, 'ERR_INVALID_ARG')
      return error.message.startsWith(start) && error.message.endsWith(end)
    })
  const below = join(folder, 'file/below')
  check(
    () => makeOutFolder('x', below),
    `x: cannot write to the folder ${below} (ENOTDIR: not a directory, mkdir `,
    '); choose another one with --out',
  )
  check(() => writeOutput('x', '--plot', below, ''), `x: cannot write ${below} (`, '); choose another place with --plot')
  writeOutput('x', '--plot', join(folder, 'plot'), 'text')
  assert.is(readFileSync(join(folder, 'plot'), 'utf8'), 'text')
  mkdirSync(join(folder, 'there'))
  makeOutFolder('x', join(folder, 'there'))
})

test('waiting ends after its time or when the signal aborts, and leaves no listener', async () => {
  const controller = new AbortController()
  let listeners = 0
  const { addEventListener, removeEventListener } = AbortSignal.prototype
  const counting = {
    addEventListener(this: AbortSignal, ...args: Parameters<typeof addEventListener>) {
      listeners++
      addEventListener.apply(this, args)
    },
    removeEventListener(this: AbortSignal, ...args: Parameters<typeof removeEventListener>) {
      listeners--
      removeEventListener.apply(this, args)
    },
  }
  await having(controller.signal, counting, async () => {
    const start = performance.now()
    await sleep(20, controller.signal)
    assert.ok(performance.now() - start >= 15)
    assert.is(listeners, 0)
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const before = timers()
    const waiting = sleep(60_000, controller.signal)
    assert.is(timers(), before + 1)
    controller.abort()
    await waiting
    assert.equal([timers(), listeners], [before, 0])
    await sleep(60_000, controller.signal)
    assert.equal([timers(), listeners], [before, 0])
  })
  let others = false
  setImmediate(() => {
    others = true
  })
  await breathe()
  assert.ok(others)
})

test('every number of a set of bits is one of its own', () => {
  for (const limit of [0, 1, 8, 9, 17]) {
    const bits = new Bits(limit)
    for (let number = 0; number < limit; number++) {
      bits.add(number)
      assert.equal([[...bits], bits.size], [[number], 1])
      assert.equal([bits.delete(number), bits.size, bits.has(number)], [true, 0, false])
    }
    assert.equal([Bits.all(limit).size, [...Bits.all(limit)].length], [limit, limit])
  }
})

test('control characters are written out, and a name stays on its line', () => {
  const controls = ['\u0000', '\u0008', '\u000b', '\u001f', '\u007f', '\u009f', '\u2028', '\u202e', '\u2066', '\u2069']
  for (const character of controls) assert.is(printable(character), `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
  for (const text of ['\t\n ~', '\u00a0é', '\u2027\u202f', '\u2065\u206a']) assert.is(printable(text), text)
  assert.is(oneLine('a\nb\tc\u001b'), 'a\\nb\\tc\\u001b')
})

test('there is a bar on a terminal that moves its cursor', () => {
  const onTerminal = (isTTY: boolean | undefined, TERM: string) =>
    having(process.stderr, { isTTY }, () => having(process, { env: { ...process.env, TERM } }, hasBar))
  assert.equal([onTerminal(true, 'xterm'), onTerminal(true, 'dumb'), onTerminal(undefined, 'xterm')], [true, false, false])
})

test.run()
