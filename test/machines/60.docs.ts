// Every command of docs/machines.md runs as it stands there, on a tiny data set: only hosts, ports and folders are replaced.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test as always } from 'uvu'
import * as assert from 'uvu/assert'
import { embeddedModel } from '../../ts/engine/model_path.js'
import { testIf } from '../test_if.js'
import { freePort, type Program, until } from './program.js'
import { lacksRedis, lacksTls, Place } from './support.js'

const test = testIf(!lacksRedis, lacksRedis ?? '')
const page = readFileSync(join(__dirname, '../../docs/machines.md'), 'utf8')
const place = new Place()
const count = 20

/** The lines of a block of the page that contains a text. */
function blockWith(text: string): string[] {
  const blocks = page.split(/^```\w*\n/m).filter((_, i) => i % 2)
  const found = blocks.find((block) => block.includes(text)) ?? ''
  assert.ok(found, `a block of the page has ${text}`)
  return found.split('\n')
}

/** The commands of the page that begin in this way, in blocks and between backticks. */
function commands(beginning: string): string[] {
  const inBlocks = [...page.matchAll(/^(?:\$ | {4})(clip-es .*)$/gm)].map(([, command]) => command as string)
  const inLine = [...page.matchAll(/`(clip-es [^`]*)`/g)].map(([, command]) => command as string)
  return [...inBlocks, ...inLine].filter((command) => command.startsWith(beginning))
}

let port: number

/** The arguments of a command of the page, for this place. */
function argumentsOf(command: string, url = place.url): string[] {
  const here = command
    .replace(/^clip-es /, '')
    .replaceAll('redis://redis-host', url)
    .replace(/\bURL\b/, url)
    .replaceAll('/mnt/data', place.folder)
    .replaceAll('10.0.0.5:7000', `127.0.0.1:${port}`)
    .replaceAll(/"\$\(\(SLURM_ARRAY_TASK_ID \+ 1\)\)\/100"/g, '1/100')
  return here.split(' ')
}

/** Runs a command of the page to its end. */
async function run(command: string, url?: string): Promise<string> {
  const program = place.start(argumentsOf(command, url))
  assert.is(await program.ended, 0, `${command}\n${program.output}`)
  return program.output
}

/** A worker ends its jobs when it is told to. */
async function end(worker: Program): Promise<void> {
  worker.signal('SIGTERM')
  assert.is(await worker.ended, 0, worker.output)
}

always.before(async () => {
  if (lacksRedis) return
  port = await freePort()
  cpSync(embeddedModel(), place.path('ViT-B-16.pt'))
  await place.makePhotos(count)
  for (const folder of ['JPEGImages', 'Annotations', 'ImageSets/Segmentation'])
    mkdirSync(place.path('VOC2012', folder), { recursive: true })
  const ids = Array.from({ length: count }, (_, i) => String(i).padStart(4, '0'))
  for (const id of ids) {
    cpSync(place.path(`set/photos/00/${id}.png`), place.path(`VOC2012/JPEGImages/${id}.png`))
    const xml = '<annotation><object><name>cat</name></object><object><name>sofa</name></object></annotation>'
    writeFileSync(place.path(`VOC2012/Annotations/${id}.xml`), xml)
  }
  writeFileSync(place.path('VOC2012/ImageSets/Segmentation/train.txt'), ids.join('\n'))
  // The settings of the page, but for the password: it has its own test.
  const settings = blockWith('maxmemory-policy').map((line) => line.replace(/#.*/, '').trim())
  const lines = settings.filter((line) => line && !line.startsWith('requirepass'))
  assert.equal(lines, ['maxmemory-policy noeviction', 'appendonly yes'])
  await place.startRedis(...lines.flatMap((line) => `--${line}`.split(' ')))
})
always.after.each(async () => {
  await place.stop()
  place.empty('out')
})
always.after(() => place.remove())

test('the first example, status while it runs, and the commands of the operator', async () => {
  const [worker = '', producer = ''] = blockWith('$ clip-es worker redis://redis-host --root').map((line) =>
    line.replace(/^\$ /, ''),
  )
  const follow = place.start(argumentsOf(producer))
  await until('the run is there', async () => /jobs: 1 wait/.test(await place.status()))
  const [command = '', runLine = '', , workerLine = ''] = blockWith('$ clip-es queue status')
  const told = await run(command.replace(/^\$ /, ''))
  const plain = (line: string) =>
    line
      .replaceAll(place.folder, '/mnt/data')
      .replace(/\b[0-9a-f]{16}\b/g, 'ID')
      .replace(/^ {2}\S+/, '  WORKER')
      .replace(/\d+/g, '#')
  assert.is(plain(told.split('\n')[0] as string), plain(runLine))
  const operations = commands('clip-es queue').filter((text) => !text.includes('status'))
  assert.equal(
    operations.map((text) => text.split(' ')[2]),
    ['pause', 'drain', 'retry-failed'],
  )
  await run('clip-es queue pause URL')
  const first = place.start(argumentsOf(worker))
  await first.says(/works on the run/)
  await until('the status has the worker as the page shows it', async () =>
    (await run('clip-es queue status URL')).split('\n').some((line) => plain(line) === plain(workerLine)),
  )
  await run('clip-es queue resume URL')
  assert.is(await follow.ended, 0, follow.output)
  assert.match(follow.output, /20 photos done in/)
  for (const text of operations) await run(text)
  assert.match(await run('clip-es queue status URL --json'), /^\{"runs":\[\],"workers":\[\{/)
  await end(first)
})

test('without a common folder', async () => {
  const [producer = '', worker = ''] = blockWith('--serve-photos').map((line) => line.replace(/^\$ /, ''))
  const working = place.start(argumentsOf(worker))
  assert.match(await run(producer), /20 photos done in/)
  await end(working)
})

test('the options of the list: --detach, --until-done, --metrics, --name', async () => {
  const [, producer = ''] = blockWith('$ clip-es worker redis://redis-host --root').map((line) => line.replace(/^\$ /, ''))
  for (const option of ['--detach', '--until-done', '`--metrics 9100`', '`--metrics 0.0.0.0:9100`', '--name'])
    assert.match(page, option)
  assert.match(await run(`${producer} --detach --name other`), /20 photos in 1 job in the queue/)
  const worker = place.start([
    ...argumentsOf('clip-es worker URL --model ViT-B-16.pt'),
    '--name',
    'other',
    '--metrics',
    String(port),
    '--until-done',
  ])
  await worker.says(/looks for photos/)
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  assert.match(text, /^clip_es_worker_redis_connected 1$/m)
  assert.is((await fetch(`http://127.0.0.1:${port}/health`)).status, 200)
  assert.is(await worker.ended, 0, worker.output)
  assert.is(place.count('out/masks'), count)
})

test('--shard, as a task of another system runs it', async () => {
  const sharded = commands('clip-es dataset').filter((command) => command.includes('--shard'))
  assert.is(sharded.length, 1)
  assert.match(await run(sharded[0] as string), /1 photo done in/)
  assert.is(place.count('out/masks'), 1)
})

test('the ACL user of the page can do everything that is needed, and nothing else; the password may be in the environment', async () => {
  const [line = ''] = blockWith('ACL SETUSER')
  await place.command(...line.replace('PASSWORD', 'secret').split(' '))
  const url = place.url.replace('//', '//clip-es:secret@')
  const [worker = '', producer = ''] = blockWith('$ clip-es worker redis://redis-host --root').map((text) =>
    text.replace(/^\$ /, ''),
  )
  const working = place.start(argumentsOf(worker, url))
  assert.match(await run(producer, url), /20 photos done in/)
  for (const operation of ['status', 'pause', 'resume', 'drain', 'retry-failed']) await run(`clip-es queue ${operation} URL`, url)
  assert.not.match(working.output, /NOPERM/)
  await end(working)
  const env = { CLIP_ES_REDIS_PASSWORD: 'secret' }
  const status = place.start(['queue', 'status', place.url.replace('//', '//clip-es@')], { env })
  assert.is(await status.ended, 0, status.output)
  for (const forbidden of [['FLUSHALL'], ['CONFIG', 'GET', '*'], ['GET', 'other'], ['KEYS', '*']])
    assert.match(await place.commandAs('clip-es', 'secret', ...forbidden), /NOPERM/)
})

testIf(!lacksRedis && !lacksTls, lacksRedis ?? lacksTls ?? '')(
  'rediss://: TLS with a certificate of an own authority',
  async () => {
    const secure = new Place()
    try {
      await secure.startRedisWithTls()
      const env = { NODE_EXTRA_CA_CERTS: secure.path('ca.pem') }
      const refused = secure.start(['queue', 'status', secure.url])
      assert.is(await refused.ended, 1)
      assert.match(refused.output, /name the file of its certificate authority in \$NODE_EXTRA_CA_CERTS/)
      const source = ['--folder', place.path('set/photos'), '--labels', place.path('set/labels.csv'), '--root', '/']
      const worker = secure.start(['worker', secure.url, '--root', '/', '--threads', '1'], { env })
      const producer = secure.start(['dataset', ...source, '-o', secure.path('out'), '--queue', secure.url], { env })
      assert.is(await producer.ended, 0, producer.output)
      assert.match(producer.output, /20 photos done in/)
      await end(worker)
    } finally {
      await secure.remove()
    }
  },
)

always.run()
