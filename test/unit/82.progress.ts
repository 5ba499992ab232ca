// What a run over many photos prints.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { describe } from '../../cli/src/dataset/photo.js'
import { withProgress } from '../../cli/src/pipeline/pipeline.js'
import {
  duration,
  endText,
  failedEvent,
  figuresText,
  ignoredText,
  type Lines,
  Progress,
  rateText,
  sayEnd,
  sayStart,
} from '../../cli/src/pipeline/progress.js'
import { Tally } from '../../cli/src/queue/tally.js'
import { Bits } from '../../cli/src/shared/bits.js'
import { oneLine, printable } from '../../cli/src/shared/say.js'
import { Stopped } from '../../cli/src/shared/stop.js'

/** The lines on standard output and standard error while a function runs. */
function printed(work: () => void): { out: string[]; err: string[] } {
  const { log, error } = console
  const lines = { out: [] as string[], err: [] as string[] }
  console.log = (line: string) => lines.out.push(line)
  console.error = (line: string) => lines.err.push(line)
  try {
    work()
  } finally {
    Object.assign(console, { log, error })
  }
  return lines
}

const event = { text: () => 'text', json: () => ({ key: 1 }) }

test('times have their two largest units, and rates have a unit in which they are at least 1', () => {
  const seconds = [0, 59.4, 59.6, 60, 3599.4, 3599.6, 3600, 7505, 360_000, Number.POSITIVE_INFINITY, Number.NaN]
  assert.equal(seconds.map(duration), [
    ...['0 s', '59 s', '1 min 00 s', '1 min 00 s', '59 min 59 s', '1 h 00 min', '1 h 00 min', '2 h 05 min', '100 h 00 min'],
    ...['–', '–'],
  ])
  assert.equal([12.34, 1, 0.99, 0.0684, 0].map(rateText), ['12.3/s', '1.0/s', '59.4/min', '4.1/min', '0.0/min'])
  assert.is(figuresText({ ended: 3, total: 60, perSecond: 2.1, rate: '2.1/s', left: '27 s' }), '3/60, 2.1/s, 27 s left')
  assert.equal([0, 0.023, 1].map(ignoredText), [[], ['2.3 % ignored'], ['100 % ignored']])
})

test('done photos and failures are counted, and a photo that is done again is not a failure any more', () => {
  printed(() => {
    const progress = new Progress(5, 'silent')
    const state = () => [progress.figures.ended, progress.succeeded, progress.failures]
    progress.done()
    progress.done()
    progress.failed(event)
    assert.equal(state(), [3, 2, 1])
    progress.listFailure(event)
    assert.equal(state(), [3, 2, 2], 'a failure that is not one of the photos')
    progress.again()
    assert.equal(state(), [2, 2, 1])
    const { total, perSecond, rate, left } = progress.figures
    assert.is(total, 5)
    assert.ok(perSecond > 0 && /^\d+\.\d\/(s|min)$/.test(rate) && / s$/.test(left))
    progress.stop()
    progress.stop()
  })
})

test('lines are for people or for programs, or there are only those of failures, or none', () => {
  const linesOf = (lines: Lines) =>
    printed(() => {
      const progress = new Progress(2, lines)
      progress.done(event)
      progress.done()
      progress.failed(event)
    })
  assert.equal(linesOf('text'), { out: ['text'], err: ['text'] })
  assert.equal(linesOf('json'), { out: ['{"key":1}', '{"key":1}'], err: [] })
  assert.equal(linesOf('none'), { out: [], err: ['text'] })
  assert.equal(linesOf('silent'), { out: [], err: [] })
})

/** What is written to standard error while it is, or is not, a terminal. */
function onTerminal(work: () => void, stdout = false, term = 'xterm'): string[] {
  const { stderr, stdout: out, env } = process
  const before = { write: stderr.write, err: stderr.isTTY, out: out.isTTY, term: env.TERM }
  const written: string[] = []
  stderr.write = (text: unknown) => written.push(String(text)) > 0
  Object.assign(stderr, { isTTY: true })
  Object.assign(out, { isTTY: stdout })
  env.TERM = term
  try {
    work()
  } finally {
    stderr.write = before.write
    Object.assign(stderr, { isTTY: before.err })
    Object.assign(out, { isTTY: before.out })
    if (before.term === undefined) delete env.TERM
    else env.TERM = before.term
  }
  return written
}

test('a terminal has a bar below failures, which ends with the run and with the process', () => {
  const listeners = process.listenerCount('exit')
  const written = onTerminal(() => {
    const progress = new Progress(4, 'text')
    assert.ok(progress.hasBar)
    assert.is(process.listenerCount('exit'), listeners + 1)
    const lines = printed(() => {
      progress.done(event)
      progress.failed(event)
      progress.listFailure(event)
    })
    assert.equal(lines, { out: ['text'], err: ['text', 'text'] })
    progress.again()
    progress.stop()
  })
  assert.is(process.listenerCount('exit'), listeners)
  const drawn = written.join('')
  assert.match(drawn, /0\/4 \| – \| – left \| 0 failed/)
  assert.match(drawn, /2\/4 \| [\d.]+\/(s|min) \| .+ left \| 2 failed|1\/4 \| [\d.]+\/(s|min) \| .+ left \| 1 failed/)
  assert.is(drawn.split('\r\u001b[K').length, 3, 'the bar is cleared before each failure')
  assert.ok(drawn.includes('\u001b[?25l') && drawn.includes('\u001b[?25h'), 'the cursor is hidden and shown again')
})

test('bar and lines never share a terminal, and few photos or a plain terminal have no bar', () => {
  const barOf = (lines: Lines, stdout: boolean, total = 2, least = 1, term = 'xterm') => {
    let found: unknown
    onTerminal(
      () => {
        const progress = new Progress(total, lines, least)
        found = [progress.hasBar, printed(() => progress.done(event)).out.length]
        progress.stop()
      },
      stdout,
      term,
    )
    return found
  }
  assert.equal(
    [barOf('text', false), barOf('text', true)],
    [
      [true, 1],
      [true, 0],
    ],
  )
  assert.equal(
    [barOf('json', false), barOf('json', true)],
    [
      [true, 1],
      [false, 1],
    ],
  )
  assert.equal(
    [barOf('none', false), barOf('silent', false)],
    [
      [true, 0],
      [false, 0],
    ],
  )
  assert.equal(
    [barOf('text', true, 2, 3), barOf('text', true, 3, 3)],
    [
      [false, 1],
      [true, 0],
    ],
  )
  assert.equal(barOf('text', true, 2, 1, 'dumb'), [false, 1])
  assert.not(new Progress(2, 'text').hasBar, 'not a terminal')
})

test('the speed and the time left come from the photos and the time so far', () => {
  const { now } = performance
  try {
    let time = 1000
    performance.now = () => time
    const progress = new Progress(10, 'silent')
    for (let i = 0; i < 4; i++) progress.done()
    time = 4000
    assert.is(progress.seconds, 3)
    assert.equal(progress.figures, { ended: 4, total: 10, perSecond: 1.333, rate: '1.3/s', left: '5 s' })
    assert.is(endText(progress), '4 photos done in 3 s (1.3/s)')
    time = 4000.4567
    assert.equal(printed(() => sayEnd(progress, 2, true)).out, ['{"event":"end","done":4,"already":2,"failed":0,"seconds":3}'])
  } finally {
    performance.now = now
  }
})

test('the first and the last line of a run have the numbers of photos and failures', () => {
  const [one, many] = [new Progress(1, 'silent'), new Progress(3, 'silent')]
  one.failed(event)
  for (let i = 0; i < 2; i++) many.done()
  many.failed(event)
  assert.match(endText(one), /^0 photos done in \d+ s, 1 failed: listed above$/)
  assert.match(endText(many), /^2 photos done in \d+ s \(\d+\.\d\/(s|min)\), 1 failed: listed above$/)
  many.again()
  assert.match(endText(many), /^2 photos done in \d+ s \(\d+\.\d\/(s|min)\)$/)
  const end = JSON.parse(printed(() => sayEnd(one, 7, true)).out.join())
  assert.equal({ ...end, seconds: 0 }, { event: 'end', done: 0, already: 7, failed: 1, seconds: 0 })
  assert.ok(end.seconds >= 0 && end.seconds < 60)
  assert.equal(printed(() => sayEnd(one, 7, false)).out, [endText(one)])
  assert.equal(printed(() => sayStart(2, 0, '/out', false)).out, ['2 photos to do; results in /out'])
  assert.equal(printed(() => sayStart(1, 3, '/out', false)).out, ['1 photo to do, 3 done before; results in /out'])
  assert.equal(printed(() => sayStart(1, 3, '/out', true)).out, [])
})

test('a photo is told with its labels, or that nothing was found, and with the share that is ignored', () => {
  const names = { names: ['cat', 'dog'] }
  const figures = { ended: 1, total: 2, perSecond: 0.5, rate: '30.0/min', left: '2 s' }
  const done = (labels: number[], ignored: number) =>
    describe(names, { item: { id: 'a\nb', photo: 'p' }, summary: { item: { id: 'a\nb', photo: 'p', labels }, ignored } })
  assert.is(done([1, 0], 0).text(figures), 'a\\nb: dog, cat (1/2, 30.0/min, 2 s left)')
  assert.is(done([], 0.5).text(figures), 'a\\nb: nothing found, 50.0 % ignored (1/2, 30.0/min, 2 s left)')
  const json = { event: 'done', id: 'a\nb', labels: ['dog'], ignored: 0.5, ended: 1, total: 2, perSecond: 0.5 }
  assert.equal(done([1], 0.5).json(figures), json)
  const failed = failedEvent('a\nb', 'no')
  assert.is(failed.text(figures), 'clip-es: a\\nb: no')
  assert.equal(failed.json(figures), { event: 'failed', id: 'a\nb', message: 'no' })
})

test('an interruption and an error of the disk tell how far the run was, and other errors stay as they are', () => {
  const stopped = withProgress(new Stopped('stopped', 130), 1, 1, '/out') as Stopped
  assert.instance(stopped, Stopped)
  assert.equal([stopped.message, stopped.status], ['stopped; 1 of 1 photo done; results are in /out', 130])
  for (const code of ['ENOSPC', 'EDQUOT', 'EROFS']) {
    const full = Object.assign(new Error('no space'), { code })
    const told = withProgress(full, 2, 3, '/out') as Error & { code: string }
    assert.is(told.code, code)
    assert.is(told.cause, full)
    assert.match(told.message, /^no space; 2 of 3 photos done; results are in \/out\. Make room and run the same command again/)
  }
  const full = withProgress(Object.assign(new Error('no'), { code: 'EROFS' }), 0, 1, '/out') as Error
  assert.is(
    full.message,
    'no; 0 of 1 photo done; results are in /out. Make room and run the same command again, or choose another folder with --out',
  )
  const other = Object.assign(new Error('no such file'), { code: 'ENOENT' })
  assert.is(withProgress(other, 2, 3, '/out'), other)
})

test('control characters are written out, and a name stays on its line', () => {
  assert.is(
    printable('a\u001b[2Jb\u0000\u007f\u009f\u2028\u202e\u2066\u2069'),
    'a\\u001b[2Jb\\u0000\\u007f\\u009f\\u2028\\u202e\\u2066\\u2069',
  )
  assert.is(printable('a\tb\nc é 猫\u00a0\u202f'), 'a\tb\nc é 猫\u00a0\u202f')
  assert.is(oneLine('a\tb\nc\r'), 'a\\tb\\nc\\u000d')
})

test('each photo of a run is counted once, however often it is reported', () => {
  const { err } = printed(() => {
    const failed: string[] = []
    const progress = new Progress(4, 'none')
    const tally = new Tally(4, progress, { names: ['cat'] }, ({ id }, message) => failed.push(`${id} ${message}`))
    const item = (number: number) => ({ id: `p${number}`, photo: '' })
    const state = () => [progress.figures.ended, progress.succeeded, tally.failures]
    const report = (number: number, outcome: { labels: number[]; ignored: number } | { failed: string }) =>
      tally.ended(number, item(number), outcome)
    report(0, { labels: [0], ignored: 0 })
    report(0, { labels: [0], ignored: 0 })
    report(1, { failed: 'no' })
    report(1, { failed: 'no' })
    report(0, { failed: 'too late' })
    assert.equal(state(), [2, 1, 1])
    assert.equal(failed, ['p1 no'])
    assert.equal([0, 1, 2].map(tally.isDone), [true, false, false])
    assert.equal([0, 1, 2].map(tally.hasFailed), [false, true, false])
    tally.again(0)
    tally.again(1)
    assert.equal(state(), [1, 1, 0])
    report(1, { labels: [], ignored: 1 })
    assert.equal(state(), [2, 2, 0])
    report(2, { failed: 'no' })
    const left = new Bits(4)
    tally.settle([0, 1, 2, 3], left)
    assert.equal(state(), [4, 3, 1], 'the photo that the journal has and nobody reported')
    left.add(3)
    const other = new Tally(4, new Progress(4, 'silent'), { names: [] })
    other.settle([0, 1, 2, 3], left)
    assert.equal([0, 1, 2, 3].map(other.isDone), [true, true, true, false])
  })
  assert.equal(err, ['clip-es: p1: no', 'clip-es: p2: no'])
})

test.run()
