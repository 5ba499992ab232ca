// What an operator does with a queue, and what it tells: pause, drain, retry, metrics, errors.
import { existsSync, readFileSync, type Stats, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test as always } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'
import { until } from './program.js'
import { lacksRedis, Place } from './support.js'

const test = testIf(!lacksRedis, lacksRedis ?? '')
const place = new Place()
const count = 96

always.before(async () => {
  if (lacksRedis) return
  await place.makePhotos(count)
  await place.startRedis()
  await place.local('local')
})
always.after.each(() => place.stop())
always.after(() => place.remove())

test('pause and drain: the producer ends, and the same command goes on; resume', async () => {
  const producer = place.producer('operated')
  await until('the run is there', async () => /96 photos, jobs: 6 wait/.test(await place.status()))
  assert.match(place.operate('pause'), /paused; workers finish their jobs/)
  const worker = place.worker()
  await worker.says(/works on the run/)
  assert.match(place.operate('status'), /jobs: 6 wait, 0 in work, 0 failed; paused/)
  assert.match(place.operate('drain'), /drained: 6 waiting jobs removed/)
  assert.is(await producer.ended, 1)
  assert.match(producer.output, /the run was drained; 96 photos left: run the same command again to go on/)
  await worker.kill()

  const again = place.producer('operated', ['--json'])
  await until('the run is there', async () => /96 photos, jobs: 6 wait, 0 in work, 0 failed; [^p]/.test(await place.status()))
  place.operate('pause')
  assert.match(place.operate('resume'), /resumed/)
  place.worker()
  assert.is(await again.ended, 0, again.output)
  place.assertSame('operated', 'local')
  const events = again.output
    .trim()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
  const { event, done, already, failed } = events.at(-1)
  assert.equal([event, done, already, failed], ['end', 96, 0, 0])
})

test('photos that cannot be read fail, exit status 1; retry-failed does them again without a producer', async () => {
  const ids = ['00/0007', '00/0023', '00/0040', '00/0090'] // of four jobs
  const files = ids.map((id) => place.path(`set/photos/${id}.png`))
  const before = files.map((file) => ({ file, bytes: readFileSync(file), ...times(statSync(file)) }))
  for (const { file, bytes } of before) writeFileSync(file, bytes.subarray(0, 100))
  place.worker()
  const producer = place.producer('unreadable')
  assert.is(await producer.ended, 1)
  for (const id of ids) assert.match(producer.output, new RegExp(`clip-es: ${id}: `))
  assert.match(producer.output, /92 photos done in .*, 4 failed: listed above/)
  place.assertSame('unreadable', 'local', ids)
  assert.match(place.operate('status'), /4 failed; no producer follows it/)
  for (const { file, bytes, atime, mtime } of before) {
    writeFileSync(file, bytes)
    utimesSync(file, atime, mtime)
  }
  assert.match(place.operate('retry-failed'), /4 failed photos will be done again/)
  await until('the photos are done', () => ids.every((id) => existsSync(place.path(`unreadable/masks/${id}.png`))))
  await until('the run is gone', async () => /^no run /.test(await place.status()))
  assert.equal(place.files('unreadable/masks'), place.files('local/masks'))
})

/** Seconds, so that the journal of the other runs has the same milliseconds: it leaves out fractions. */
const times = ({ atimeMs, mtimeMs }: Stats) => ({ atime: atimeMs / 1000, mtime: (Math.floor(mtimeMs) + 0.5) / 1000 })

test('a producer that is interrupted says so, its workers go on, and started again it follows them', async () => {
  place.patientWorker()
  const producer = place.producer('interrupted')
  await producer.says(/\(\d+\/96, /)
  producer.signal('SIGINT')
  assert.is(await producer.ended, 130)
  assert.match(
    producer.output,
    /interrupted; \d+ of 96 photos done; .*workers go on with what is in the queue: run the same command/,
  )
  const again = place.producer('interrupted')
  assert.is(await again.ended, 0, again.output)
  place.assertSame('interrupted', 'local')
  assert.is(place.journalLines('interrupted').length, count, 'each photo once')
})

test('metrics', async () => {
  const port = 20000 + (process.pid % 20000)
  const worker = place.worker(['--metrics', String(port)])
  await worker.says(/looks for photos/)
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  assert.match(text, /^clip_es_worker_photos_total\{outcome="done"\} 0$/m)
  assert.is((await fetch(`http://127.0.0.1:${port}/health`)).status, 200)
})

test('every command says what is wrong with a Redis, and what to do', async () => {
  const locked = new Place()
  await locked.startRedis('--requirepass', 'secret')
  const ends = async (args: string[], env?: Record<string, string>) => {
    const program = place.start(args, { env })
    return `${await program.ended} ${program.output}`
  }
  const wrong = locked.url.replace('//', '//:wrong@')
  assert.match(await ends(['worker', locked.url]), /^1 clip-es: Redis at .* \(NOAUTH .*it needs a password: write redis:/)
  assert.match(await ends(['worker', wrong]), /^1 .*\*\*\*@.*WRONGPASS.*check the user and the password/)
  assert.match(await ends(['dataset', ...place.source, '-o', 'no', '--queue', wrong]), /^1 [\s\S]*WRONGPASS/)
  assert.not.match(await ends(['queue', 'status', wrong]), /:wrong@/)
  assert.match(await ends(['queue', 'status', locked.url.replace('//', '//:secret@')]), /^0 no run/)
  assert.match(await ends(['queue', 'status', locked.url], { CLIP_ES_REDIS_PASSWORD: 'secret' }), /^0 no run/)
  assert.match(await ends(['queue', 'status', 'redis://127.0.0.1:1']), /^1 .*ECONNREFUSED.*start redis-server/)
  assert.match(await ends(['queue', 'status', `${place.url}/99`]), /^1 .*no database of that number/)
  assert.match(await ends(['worker', 'http://host']), /^2 .*Expected a URL such as redis:/)
  assert.match(await ends(['dataset', ...place.source, '--detach']), /^2 clip-es: dataset: --detach needs --queue/)
  const outside = await ends(['dataset', ...place.source, '-o', 'no', '--queue', place.url, '--root', join('set', 'photos')])
  assert.match(outside, /^2 [\s\S]*the folder of results \S+ is not in \S+; name a folder with --root/)
  await locked.remove()
})

always.run()
