// A machine that the network leaves for a while: a worker in a network namespace, whose cable is pulled.
import { execFileSync, spawnSync } from 'node:child_process'
import { test as always } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'
import { sleep } from './program.js'
import { lacksRedis, Place } from './support.js'

const name = `clip-es-${process.pid}`
const [here, there] = [`ce${process.pid}a`, `ce${process.pid}b`] // a network interface has up to 15 letters
const ip = (...args: string[]) => execFileSync('ip', args)

const probe = spawnSync('ip', ['netns', 'add', name])
const lacks = lacksRedis ?? (probe.status === 0 ? undefined : 'there are no network namespaces here (ip netns)')
if (probe.status === 0) ip('netns', 'del', name)

const test = testIf(!lacks, lacks ?? '')
const place = new Place()
const cut = Number(process.env.CLIP_ES_CUT ?? 8) // seconds

always.before(() => {
  if (lacks) return
  ip('netns', 'add', name)
  ip('link', 'add', here, 'type', 'veth', 'peer', 'name', there, 'netns', name)
  ip('addr', 'add', '10.213.77.1/30', 'dev', here)
  ip('link', 'set', here, 'up')
  ip('-n', name, 'addr', 'add', '10.213.77.2/30', 'dev', there)
  ip('-n', name, 'link', 'set', there, 'up')
  place.host = '10.213.77.1'
})
always.after(async () => {
  await place.remove()
  if (lacks) return
  ip('netns', 'del', name)
})

test('a worker is cut off from Redis: its job goes elsewhere, and it goes on when it is back', async () => {
  await place.makePhotos(192)
  await place.startRedis('--bind', '0.0.0.0')
  await place.local('local')
  const away = place.worker([], { before: ['ip', 'netns', 'exec', name] })
  const producer = place.producer('out')
  await producer.says(/\(([5-9]|[1-4]\d)\/192, /)
  ip('link', 'set', here, 'down')
  const near = place.worker()
  await sleep(cut)
  ip('link', 'set', here, 'up')
  assert.is(await producer.ended, 0, producer.output)
  place.assertSame('out', 'local')
  assert.ok(away.isRunning && near.isRunning)
  // It works again: alone, at a new run.
  await near.kill()
  const second = place.producer('second')
  assert.is(await second.ended, 0, second.output)
  place.assertSame('second', 'local')
})

always.run()
