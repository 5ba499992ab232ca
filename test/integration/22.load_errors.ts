// Arguments of load() that are refused.
import { test } from 'uvu'
import { type LoadOptions, Segmenter } from '../../ts/index.js'
import { modelPath, rejects } from './support.js'

test('the error for a wrong option has its name, its value and what was expected', async () => {
  const whole = 'a whole number from 1 to'
  const table: [unknown, ...string[]][] = [
    [null, 'options is null', 'an object'],
    ['cpu', "options is 'cpu'", 'an object'],
    [[], 'options is []', 'an object'],
    [() => {}, 'options is [Function', 'an object'],
    [{ treads: 2 }, "unknown option 'treads'", "did you mean 'threads'?"],
    [{ maxside: 2 }, "unknown option 'maxside'", "did you mean 'maxSide'?"],
    [
      { gpu: true },
      "unknown option 'gpu'",
      'known: model, device, precision, threads, concurrency, maxBatch, maxDelay, maxQueue, maxPixels, maxSide, weightsFolder, priority, …',
    ],
    [{ device: 'gpu' }, "device is 'gpu'", "'auto', 'cpu', 'cuda' or 'cuda:N'"],
    [{ device: 'CPU' }, "device is 'CPU'", "'cpu'"],
    [{ device: 'cuda:' }, "device is 'cuda:'", "'cuda:N'"],
    [{ device: 'cuda:-1' }, "device is 'cuda:-1'", "'cuda:N'"],
    [{ device: 0 }, 'device is 0', "'cuda:N'"],
    [{ device: null }, 'device is null', "'cuda:N'"],
    [{ precision: 'float16' }, "unknown precision 'float16'", "did you mean 'bfloat16'?"],
    [{ precision: 'int8', device: 'cuda' }, "precision 'int8' is for CPUs, and device is 'cuda'", "'bfloat16' or 'float32'"],
    [{ priority: 'high' }, "unknown priority 'high'", 'known: low, normal'],
    [{ weightsFolder: 7 }, 'weightsFolder is 7', 'a file URL'],
    [{ precision: 32 }, 'precision is 32', "'auto' or 'float32' or 'bfloat16'"],
    [{ signal: null }, 'signal is null', 'an AbortSignal'],
    [{ signal: new AbortController() }, 'signal is AbortController', 'an AbortSignal'],
    ...[0, -1, 1.5, 1025, Number.NaN, Number.POSITIVE_INFINITY].map((threads): [unknown, string, string] => [
      { threads },
      `threads is ${threads};`,
      `${whole} 1024`,
    ]),
    [{ threads: '2' }, "threads is '2'", `${whole} 1024`],
    [{ threads: 2n }, 'threads is 2n', `${whole} 1024`],
    [{ threads: null }, 'threads is null', `${whole} 1024`],
    ...[0, -1, 1.5, 65, Number.NaN].map((concurrency): [unknown, string, string] => [
      { concurrency },
      `concurrency is ${concurrency};`,
      `${whole} 64`,
    ]),
    ...[0, -1, 1.5, 257, Number.NaN].map((maxBatch): [unknown, string, string] => [
      { maxBatch },
      `maxBatch is ${maxBatch};`,
      `${whole} 256`,
    ]),
    ...[-1, 60_001, Number.NaN].map((maxDelay): [unknown, string, string] => [
      { maxDelay },
      `maxDelay is ${maxDelay};`,
      'a number from 0 to 60000',
    ]),
    ...[0, -1, 1.5, 1e7, Number.NaN, Number.POSITIVE_INFINITY].map((maxQueue): [unknown, string, string] => [
      { maxQueue },
      `maxQueue is ${maxQueue};`,
      `${whole} 1000000`,
    ]),
    ...[0, -1, 1e10, Number.NaN, Number.POSITIVE_INFINITY].map((maxPixels): [unknown, string, string] => [
      { maxPixels },
      `maxPixels is ${maxPixels};`,
      'a number from 1 to 2147483648',
    ]),
    [{ maxPixels: '1e6' }, "maxPixels is '1e6'", 'a number from 1'],
    ...[0, -1, 0.5, 1e10, Number.NaN, Number.NEGATIVE_INFINITY].map((maxSide): [unknown, string, string] => [
      { maxSide },
      `maxSide is ${maxSide};`,
      `${whole} 2147483647`,
    ]),
    [{ maxSide: '1024' }, "maxSide is '1024'", `${whole} 2147483647`],
  ]
  for (const [options, ...parts] of table)
    await rejects(Segmenter.load(modelPath, options as LoadOptions), 'ERR_INVALID_ARG', 'load(): ', ...parts)
})

test('the error for a model that is neither a path nor a file URL has the value and the remedy', async () => {
  const table: [unknown, ...string[]][] = [
    ['', "model is ''", 'a text that is not empty'],
    [' ', "model is ' '", 'a text that is not empty'],
    [3, 'model is 3', 'a path or a file URL'],
    [true, 'model is true', 'a path or a file URL'],
    [null, 'model is null', 'a path or a file URL'],
    [`${modelPath}\0.png`, '\\x00', 'a path without a zero byte'],
    [new URL('file:///model%00.pt'), 'a path without a zero byte'],
    [new URL('https://example.org/a.pt'), "model is 'https://example.org/a.pt'", "scheme 'https'", 'download the file'],
    ['HTTPS://example.org/a.pt', "scheme 'HTTPS'", 'download the file'],
    ['file:///a.pt', "model is the text 'file:///a.pt'", 'new URL('],
    [new URL('file://server/a.pt'), "model is 'file://server/a.pt', which names no local file", 'write file:///path'],
    [new URL('data:,a'), "scheme 'data'", 'download the file'],
  ]
  for (const [model, ...parts] of table) {
    await rejects(Segmenter.load(model as string, {}), 'ERR_INVALID_ARG', 'load(): ', ...parts)
    await rejects(Segmenter.load({ model: model as string }), 'ERR_INVALID_ARG', 'load(): ', ...parts)
  }
  const cases: [unknown, unknown, string][] = [
    [{ threads: 1 }, {}, 'model is { threads: 1 }; expected a path or a file URL before the options, or one object'],
    [[], undefined, 'model is []; expected a path or a file URL'],
    [modelPath, { model: modelPath }, 'model is given twice'],
    [{ modle: modelPath }, undefined, "unknown option 'modle'; did you mean 'model'?"],
  ]
  for (const [first, second, part] of cases)
    await rejects(Segmenter.load(first as string, second as LoadOptions), 'ERR_INVALID_ARG', 'load(): ', part)
})

test.run()
