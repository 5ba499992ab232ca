// What the page says when something goes wrong, and that the remedy works.
import type { Browser } from 'playwright-core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer, ServeOptions } from '../../server/src/index.js'
import { browserTest, change, launch, openPage, openScene, sceneRoot } from './page_support.js'
import { startServer } from './support.js'

let browser: Browser | undefined
test.before(async () => {
  browser = await launch()
})
test.after(() => browser?.close())

async function withServer(options: ServeOptions, work: (server: RunningServer) => Promise<void>): Promise<void> {
  const server = await startServer(options)
  try {
    await work(server)
  } finally {
    await server.close(0)
  }
}

/** What Chromium itself writes into the console about answers that are errors, and about no answer. */
const isRequestLog = (text: string) => text.startsWith('Failed to load resource')

browserTest('a photo that is too large, and a file that is not a photo', async () =>
  withServer({ limits: { photoBytes: 120_000 } }, async ({ url }) => {
    const { page, problems, close } = await openPage(browser, url)
    await page.locator('#file').setInputFiles(`${sceneRoot}/scene02.png`)
    const alert = page.getByRole('alert')
    assert.match(
      (await alert.textContent()) as string,
      /The photo is too large.*scene02\.png has 0\.15 MiB; this server takes up to 0\.11 MiB\..*Save it smaller/,
    )
    await page.locator('#file').setInputFiles({ name: 'notes.png', mimeType: 'image/png', buffer: Buffer.from('not a photo') })
    await alert.getByText('A value is wrong').waitFor()
    await openScene(page, 1) // the message goes when a photo opens
    assert.is(await alert.isVisible(), false)
    assert.ok(problems.every(isRequestLog))
    problems.length = 0
    await close()
  }),
)

browserTest('a server that has forgotten the photo gets it again; one that is gone is named with a remedy', async () =>
  withServer({}, async (server) => {
    const { page, problems, close } = await openPage(browser, server.url)
    const { image } = await openScene(page, 3)
    server.service.images.delete(image)
    const [stored] = await Promise.all([
      page.waitForResponse((response) => response.url().endsWith('/v1/images')),
      change(page, () => page.locator('#words').fill('dog')),
    ])
    assert.is(stored.status(), 201)
    assert.equal(await page.locator('#labels .name').allTextContents(), ['dog'])

    await page.route('**/segment', (route) => route.abort('connectionrefused'))
    await page.locator('#words').fill('apple')
    await page.getByText('The server does not answer').waitFor()
    assert.match((await page.getByRole('alert').textContent()) as string, 'Check that clip-es serve is still running.')
    await page.unroute('**/segment')
    const { answer } = await change(page, () => page.getByRole('button', { name: 'Try again' }).click())
    assert.is(answer.labels[0]?.name, 'apple')
    assert.is(await page.getByRole('alert').isVisible(), false)
    assert.ok(problems.every(isRequestLog))
    problems.length = 0
    await close()
  }),
)

browserTest('a busy server is asked again when it says so', async () =>
  withServer({}, async (server) => {
    const { page, problems, close } = await openPage(browser, server.url)
    await openScene(page, 3)
    let refused = false
    await page.route('**/segment', async (route) => {
      if (refused) return await route.continue()
      refused = true
      const problem = { title: 'Too many requests wait', detail: '64 requests wait already', status: 503 }
      await route.fulfill({ status: 503, headers: { 'retry-after': '1' }, json: problem })
    })
    await change(page, () => page.locator('#words').fill('apple'))
    assert.is(refused, true)
    assert.equal(await page.locator('#labels .name').allTextContents(), ['apple'])
    assert.ok(problems.every(isRequestLog))
    problems.length = 0
    await close()
  }),
)

browserTest('a server with API keys asks for one, and keeps it for the tab', async () =>
  withServer({ keys: ['a-key-of-this-test'] }, async ({ url }) => {
    const context = await (browser as Browser).newContext()
    const page = await context.newPage()
    await page.goto(url)
    await page.getByLabel('API key').fill('a-wrong-key-of-this-test')
    const refused = page.waitForResponse((response) => response.status() === 401)
    await Promise.all([refused, page.getByRole('button', { name: 'Use this key' }).click()])
    await page.getByText('The server does not know this key.').waitFor()
    await page.getByLabel('API key').fill('a-key-of-this-test')
    await page.keyboard.press('Enter')
    await page.locator('#scene-list button').first().waitFor()
    assert.is(await page.getByLabel('API key').isVisible(), false)
    const { answer } = await openScene(page, 6)
    assert.is(answer.labels[0]?.name, 'cat')
    await change(page, () => page.reload())
    assert.is(await page.getByLabel('API key').isVisible(), false)
    await context.close()
  }),
)

test.run()
