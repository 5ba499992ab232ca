// What the doctor says of LibTorch and the add-on, and what `clip-es doctor` prints as a whole.
import childProcess from 'node:child_process'
import { join } from 'node:path'
import detectLibc from 'detect-libc'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { doctorCommand } from '../../cli/src/doctor/command.js'
import { addonCheck, libTorchCheck } from '../../cli/src/doctor/libraries.js'
import { packageVersion } from '../../ts/support/index.js'
import { having, onCpu, withAddon, withTrial } from './machine_support.js'
import { fakeLibTorch, folder, isolate } from './setup_support.js'
import { root } from './support.js'

isolate(test)

test('a LibTorch is named with its version, its source, what uses it, and what is wrong with it', () => {
  const [plain, amx] = ['flags : avx2\n', 'flags : avx2 amx_bf16\n']
  const check = (info: string, run: object = {}) => withTrial(run, () => onCpu(info, 'x64', libTorchCheck))
  const bf16 = 'products in bfloat16 on this CPU (AMX)'
  const name = 'LibTorch'
  assert.equal(check(plain), { name, status: 'ok', detail: "none; the CPU needs none, but device 'cuda' would use one" })
  assert.is(check(amx).detail, `none; the CPU needs none, but device 'cuda' and ${bf16} would use one`)
  const at = fakeLibTorch(join(folder, 'own'), '2.13.0+cpu')
  process.env.CLIP_ES_LIBTORCH = at
  const values = { version: '2.13.0+cpu', folder: at, source: 'environment' }
  const start = `2.13.0+cpu at ${at}, from $CLIP_ES_LIBTORCH; it`
  const unused = 'not used: it is a CPU build, and this CPU has no AMX'
  assert.equal(check(plain), { name, status: 'ok', detail: `${start} loads; ${unused}`, values: { ...values, uses: [] } })
  assert.equal(check(amx).detail, `${start} loads; used for ${bf16}`)
  fakeLibTorch(at, '2.13.0+cpu', true)
  assert.equal(check(amx).values?.uses, ["device 'cuda'", bf16])
  const remedy =
    'point CLIP_ES_LIBTORCH to a complete LibTorch of 2.11 or newer, or unset it (npx clip-es setup --cuda fetches one)'
  const broken = check(plain, { stdout: 'libc10.so: cannot open\n' })
  assert.equal(broken, { name, status: 'warning', detail: `${start} does not load: libc10.so: cannot open`, remedy, values })
  fakeLibTorch(at, '2.10.1')
  assert.is(check(plain).detail, `2.10.1 at ${at}, from $CLIP_ES_LIBTORCH; it is older than 2.11`)
  process.env.CLIP_ES_LIBTORCH = '/nowhere'
  assert.equal(check(plain), {
    ...{ name, status: 'warning', remedy, values: { folder: '/nowhere' } },
    detail: 'CLIP_ES_LIBTORCH is /nowhere, which has no libtorch_cpu.so',
  })
})

test('the add-on is named with its origin, and one that is missing or does not load is wrong', () => {
  const name = 'add-on'
  assert.equal(withAddon(undefined, addonCheck), {
    ...{ name, status: 'wrong', detail: `there is none for ${process.platform} ${process.arch}` },
    remedy: 'use a platform that the README lists, or build the add-on in a checkout with npm install',
  })
  for (const [path, built, origin] of [
    ['prebuilds/linux-x64/clip_es.node', false, 'as it was shipped'],
    ['build/Release/clip_es.node', true, 'built on this machine'],
  ] as const) {
    const values = { file: join(root, path), built }
    const check = (run: object) => withTrial(run, () => withAddon(values.file, addonCheck))
    assert.equal(check({}), { name, status: 'ok', detail: `${path}, ${origin}; it loads`, values })
    assert.equal(check({ stdout: 'no symbol' }), {
      ...{ name, status: 'wrong', detail: `${path}, ${origin}; it does not load: no symbol`, values },
      remedy: 'install clip-es again; in a checkout, run npm run build:native',
    })
  }
})

/** What `clip-es doctor` prints on a machine where everything works, but for these variables, trials of models, and add-on. */
async function printed(args: string[], env: Record<string, string>, models: object[] = [], addon = true, isTTY = false) {
  const trial = { objects: [], milliseconds: 1, model: { layers: 1, width: 2, patch: 3, precision: 'float32' } }
  const tried = models.values()
  const spawnSync = (program: string, [first]: string[]) => {
    if (program === 'nvidia-smi') return { error: new Error('none') }
    return { status: 0, signal: null, stdout: first === '-e' ? '' : JSON.stringify(tried.next().value ?? trial), stderr: '' }
  }
  const libc = { familySync: () => 'glibc', versionSync: () => '2.39' }
  const lines: string[] = []
  const log = (line: string) => lines.push(line)
  const machine = { platform: 'linux', availableMemory: () => 8e9, env: { CLIP_ES_CACHE: folder, ...env } }
  const changes: [object, Record<string, unknown>][] = [
    [childProcess, { spawnSync }],
    [detectLibc, libc],
    [console, { log }],
    [process.stdout, { isTTY }],
    [process, machine],
  ]
  const run = async () => {
    await doctorCommand().parseAsync(args, { from: 'user' })
    lines.push(String(process.exitCode))
    process.exitCode = undefined
  }
  const nested = changes.reduce(
    (work, [object, values]) =>
      () =>
        having(object, values, work),
    () => onCpu('flags : avx2\n', 'x64', run),
  )
  await withAddon(addon ? join(root, 'build/Release/clip_es.node') : undefined, nested)
  return lines
}

const order = [
  'Node.js',
  'platform',
  'CPU',
  'memory',
  'variables',
  'cache',
  'sharp',
  'LibTorch',
  'add-on',
  'engine',
  'model',
  'GPU',
]

test('the report has a heading, a line for each thing with its remedy below it, and a verdict with the exit status', async () => {
  const lines = await printed([], {})
  assert.equal([lines[0], ...lines.slice(-2)], [`clip-es ${packageVersion()}\n`, '\nEverything works', 'undefined'])
  assert.equal(
    lines.slice(1, -2).map((line) => line.slice(0, 20)),
    order.map((name) => `ok       ${name.padEnd(10)} `),
  )
  const [unknown, another] = [{ CLIP_ES_XYLOPHONE: 'x' }, { CLIP_ES_LIBTORCH: '/nowhere' }]
  const one = await printed([], unknown)
  assert.is(
    one[5],
    `warning  variables  CLIP_ES_CACHE=${folder} CLIP_ES_XYLOPHONE=x\n${' '.repeat(20)}-> clip-es does not know CLIP_ES_XYLOPHONE: unset it`,
  )
  const verdicts = async (...args: [Record<string, string>, object[]?, boolean?]) => (await printed([], ...args)).slice(-2)
  assert.equal(one.slice(-2), ['\nEverything works; 1 warning', 'undefined'])
  assert.equal(await verdicts({ ...unknown, ...another }), ['\nEverything works; 2 warnings', 'undefined'])
  assert.equal(await verdicts(unknown, [{ error: 'no' }]), ['\n1 of 12 things is wrong: see the remedies above', '1'])
  const both = await verdicts({ CLIP_ES_MODEL: '/m.pt' }, [{ error: 'no' }, { error: 'no' }])
  assert.equal(both, ['\n2 of 12 things are wrong: see the remedies above', '1'])
  const untried = await printed([], { CLIP_ES_MODEL: '/m.pt' }, [], false)
  assert.equal(
    untried.slice(9, -2).map((line) => line.slice(0, 20)),
    ['wrong    add-on     ', 'warning  engine     ', 'ok       GPU        '],
  )
})

test('on a terminal the state has a colour, unless NO_COLOR is set', async () => {
  const states = async (env: Record<string, string>, addon = true) =>
    (await printed([], { CLIP_ES_XYLOPHONE: 'x', ...env }, [], addon, true)).slice(1, -2).map((line) => line.split(/ +/)[0])
  const [green, yellow, red] = ['\u001b[32mok', '\u001b[33mwarning', '\u001b[31mwrong']
  assert.equal(await states({}, false), [...Array(4).fill(green), yellow, ...Array(3).fill(green), red, yellow, green])
  assert.is((await states({ NO_COLOR: '1' }))[0], 'ok')
})

test('--json is the version, whether everything works, and the checks', async () => {
  for (const [models, isOk, status] of [
    [[], true, 'undefined'],
    [[{ error: 'no' }], false, '1'],
  ] as const) {
    const [text, ended, ...more] = await printed(['--json'], {}, [...models])
    const { version, ok, checks } = JSON.parse(text as string)
    assert.equal([version, ok, ended, more], [packageVersion(), isOk, status, []])
    assert.equal(
      checks.map(({ name }: { name: string }) => name),
      order,
    )
    assert.match(text as string, /^\{\n {2}"version"/)
  }
})

test.run()
