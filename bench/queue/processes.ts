// 1, 2 and 4 `clip-es worker` processes on this machine, and one process without a queue. Each worker has one thread. With the CRF, so that a
// photo takes as long as one of a larger model would, and not mostly Node's own work.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { makeDemoSet } from '../../test/e2e/demo_set.js'

const command = join(__dirname, '../../cli/dist/main.js')
const photos = 600

export async function realWorkers(url: string, folder: string): Promise<void> {
  await makeDemoSet(join(folder, 'set'), photos)
  console.log(
    `${photos} photos of the demo with the CRF, ${cpus().length} logical cores; seconds include the start of the processes`,
  )
  const source = [
    'dataset',
    '--folder',
    join(folder, 'set/photos'),
    '--labels',
    join(folder, 'set/labels.csv'),
    '--crf',
    '--json',
  ]
  for (const threads of [1, 2]) {
    const { rate } = await follow([...source, '-o', join(folder, `local${threads}`), '--threads', String(threads)], folder)
    console.log(`without a queue, ${threads} thread${threads > 1 ? 's' : ''}   ${rate} photos a second`)
  }
  for (const count of [1, 2, 4]) {
    const workers = Array.from({ length: count }, () =>
      spawn(process.execPath, [command, 'worker', url, '--root', folder, '--threads', '1'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    )
    await Promise.all(workers.map(({ stdout }) => once(stdout, 'data')))
    const { rate } = await follow([...source, '-o', join(folder, `by${count}`), '--queue', url, '--root', folder], folder)
    console.log(`${count} worker${count > 1 ? 's' : ' '} of 1 thread      ${rate} photos a second`)
    for (const worker of workers) {
      worker.kill()
      await once(worker, 'close')
    }
  }
}

/** Photos a second as the command says it itself. */
async function follow(args: string[], cwd: string): Promise<{ rate: string }> {
  const child = spawn(process.execPath, [command, ...args], { cwd, stdio: ['ignore', 'pipe', 'ignore'] })
  let output = ''
  child.stdout.on('data', (text) => {
    output += text
  })
  const [status] = await once(child, 'close')
  if (status !== 0) throw new Error(`clip-es ${args.join(' ')} ended with exit status ${status}`)
  const { done, seconds } = JSON.parse(output.trim().split('\n').at(-1) as string)
  return { rate: (done / seconds).toFixed(1) }
}
