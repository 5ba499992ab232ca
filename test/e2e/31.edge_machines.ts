// Machines with little: no /proc, no home, a read-only file system, one CPU and 512 MB. These need the rights of root.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'
import { main, scenes, Workplace } from './support.js'

const work = new Workplace()
const segment = (out: string): string[] => {
  const words = ['--classes', 'elephant,panda', '--labels', 'elephant,panda']
  return ['segment', join(scenes, 'scene01.png'), ...words, '--out', out]
}
let expected: Buffer

test.before(() => {
  assert.is(work.run(segment('usual')).status, 0)
  expected = maskIn('usual')
})
test.after(() => work.remove())

const maskIn = (folder: string): Buffer => {
  const [name] = work.files(folder).filter((file) => file.endsWith('.png'))
  return readFileSync(work.path(folder, name as string))
}

const quote = (words: string[]): string => words.map((word) => `'${word}'`).join(' ')
const clipEs = (args: string[]): string => quote([process.execPath, main, ...args])

/** Runs a script of the shell with mounts of its own. */
const inMounts = (script: string) =>
  spawnSync('unshare', ['-m', '--propagation', 'private', 'sh', '-ec', script], {
    encoding: 'utf8',
    cwd: work.folder,
    env: work.env(),
  })

const mountTest = testIf(
  spawnSync('unshare', ['-m', 'true']).status === 0,
  'file systems of other machines: this user may not mount',
)

mountTest('without /proc and without a home the mask is the usual one', () => {
  const { status, stderr } = inMounts(`mount -t tmpfs none /proc && unset HOME && ${clipEs(segment('bare'))}`)
  assert.is(status, 0, stderr)
  assert.equal(maskIn('bare'), expected)
})

mountTest(
  'with home, cache and temporary folder on a read-only file system the mask is the usual one, and doctor names the cache',
  () => {
    mkdirSync(work.path('writable'))
    const { status, stdout, stderr } = inMounts(`
    mount -t tmpfs none writable && mount --rbind / /mnt && mount -o remount,bind,ro /mnt
    export HOME=/mnt/nowhere TMPDIR=/mnt/nowhere CLIP_ES_CACHE=/mnt/nowhere/cache
    ${clipEs(segment('writable'))}; cp -r writable copy
    ${clipEs(['doctor'])}
    ! ${clipEs(segment('/mnt/out'))}`)
    assert.is(status, 0, stderr)
    assert.equal(maskIn('copy'), expected)
    assert.match(stdout, /cache +\/mnt\/nowhere\/cache cannot be used \(EROFS/)
    assert.match(stderr, /cannot write to the folder \/mnt\/out.*EROFS.*; choose another one with --out/)
  },
)

/** Folders of a new control group, and what limits it to one CPU and 512 MB. Undefined where this process cannot make one. */
function makeControlGroup(): { folders: string[]; remove(): void } | undefined {
  const at = '/sys/fs/cgroup'
  const name = `clip-es-test-${process.pid}`
  const unified = existsSync(join(at, 'cgroup.controllers'))
  const limits: [folder: string, file: string, value: string][] = unified
    ? [
        [join(at, name), 'memory.max', '512M'],
        [join(at, name), 'cpu.max', '100000 100000'],
      ]
    : [
        [join(at, 'memory', name), 'memory.limit_in_bytes', '512M'],
        [join(at, 'cpu', name), 'cpu.cfs_quota_us', '100000'],
      ]
  const folders = [...new Set(limits.map(([folder]) => folder))]
  const remove = (): void => {
    for (const folder of folders) if (existsSync(folder)) rmdirSync(folder)
  }
  try {
    for (const folder of folders) mkdirSync(folder)
    for (const [folder, file, value] of limits) writeFileSync(join(folder, file), value)
    return { folders, remove }
  } catch {
    remove()
    return undefined
  }
}

const group = makeControlGroup()
const groupTest = testIf(group !== undefined, 'one CPU and 512 MB: this user may not make a control group')

groupTest('with one CPU and 512 MB the mask is the usual one, and one thread computes it', () => {
  const { folders, remove } = group as NonNullable<typeof group>
  const join = folders.map((folder) => `echo $$ > ${folder}/cgroup.procs`).join(' && ')
  const run = (args: string[]) =>
    spawnSync('sh', ['-ec', `${join} && ${clipEs(args)}`], { encoding: 'utf8', cwd: work.folder, env: work.env() })
  try {
    const { status, stderr } = run(segment('small'))
    assert.is(status, 0, stderr)
    assert.equal(maskIn('small'), expected)
    assert.match(run(['doctor']).stdout, /CPU .*, 1 cores? used by default/)
  } finally {
    remove()
  }
})

test.run()
