// The programs that the load goes to: the product's server, and Python's usual one.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { peerEnvironment } from '../peer_environment.js'

const root = join(__dirname, '../..')

export interface Program {
  name: string
  url: string
  end(): Promise<void>
}

async function until(child: ChildProcess, ready: () => Promise<string | undefined>): Promise<string> {
  for (;;) {
    const url = await ready()
    if (url) return url
    if (child.exitCode !== null) throw new Error(`it ended with the status ${child.exitCode}; its last lines are above`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

async function started(name: string, child: ChildProcess, ready: () => Promise<string | undefined>): Promise<Program> {
  const url = await until(child, ready)
  const end = async () => {
    child.kill('SIGTERM')
    if (child.exitCode === null) await once(child, 'exit')
  }
  return { name, url, end }
}

/** `clip-es serve`, as users start it. */
export async function startProduct(engine: readonly string[], words: readonly string[]): Promise<Program> {
  const args = [join(root, 'cli/dist/main.js'), 'serve', '--port', '0', '--queue', '1000', '--request-seconds', '3600', ...engine]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let line = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    line += text
  })
  return await started('clip-es serve', child, async () => {
    const url = /listening on (\S+)/.exec(line)?.[1]
    return url && `${url}/v1/segment?classes=${words.join(',')}`
  })
}

/** FastAPI on uvicorn. */
export async function startPeer(python: string, model: string, threads: number, labels: number): Promise<Program> {
  const port = 18_000 + (process.pid % 1000)
  const args = [join(__dirname, 'fastapi_peer.py'), model, ...[threads, port, labels].map(String)]
  const child = spawn(python, args, { env: peerEnvironment(threads), stdio: ['ignore', 'inherit', 'inherit'] })
  const url = `http://127.0.0.1:${port}`
  return await started('FastAPI, PyTorch', child, async () =>
    fetch(url).then(
      () => `${url}/segment`,
      () => undefined,
    ),
  )
}
