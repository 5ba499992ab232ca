// Photos by URL: from which hosts and addresses they may come.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isPublicAddress } from '../../server/src/remote/addresses.js'
import { AllowedHosts, forCallbacks, shownUrl } from '../../server/src/remote/hosts.js'
import { parseUrl } from '../../server/src/remote/requests.js'
import { refused } from './remote_support.js'
import { outcomeOf } from './support.js'

test('addresses of the public internet, and the first and last of every range that is not', () => {
  const open = [
    '1.1.1.1',
    '8.8.8.8',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
  ]
  open.push('169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0', '192.167.255.255', '192.169.0.0', '223.255.255.255')
  open.push('2606:4700:4700::1111', '2a00:1450:4001:81b::200e', '2001:4860:4860::8888')
  for (const address of open) assert.ok(isPublicAddress(address), address)
  const closed = ['0.0.0.0', '0.255.255.255', '10.0.0.1', '10.255.255.255', '100.64.0.0', '100.127.255.255', '100.100.100.200']
  closed.push('127.0.0.1', '127.255.255.254', '169.254.169.254', '169.254.0.0', '172.16.0.0', '172.31.255.255', '192.168.0.1')
  closed.push('192.0.0.192', '192.0.2.1', '198.18.0.1', '198.19.255.255', '198.51.100.7', '203.0.113.9', '168.63.129.16')
  closed.push('224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255')
  closed.push(
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '::ffff:7f00:1',
    '::127.0.0.1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::1',
  )
  closed.push(
    'fe80::1',
    'fc00::1',
    'fd00:ec2::254',
    'ff02::1',
    'fec0::1',
    '2001:db8::1',
    '2001::1',
    '2002:7f00:1::',
    '100::1',
    '3fff::1',
  )
  for (const address of closed) assert.not.ok(isPublicAddress(address), address)
})

test('a host of the list, its ports, and hosts below it', () => {
  const hosts = new AllowedHosts({
    remoteHosts: ['Example.org', '*.cdn.example.org', 'ports.example.org:8443', '[2606:4700::1]'],
    privateHosts: ['label-studio:8080'],
  })
  const allowed = [
    'http://example.org/a.jpg',
    'https://EXAMPLE.org:443/a.jpg',
    'https://a.b.cdn.example.org/x',
    'http://[2606:4700::1]/',
  ]
  allowed.push('https://ports.example.org:8443/a')
  for (const url of allowed) assert.is(hosts.check(new URL(url)).mayBePrivate, false, url)
  assert.is(hosts.check(new URL('http://label-studio:8080/data')).mayBePrivate, true)
  const other = [
    'http://example.org:8080/',
    'http://cdn.example.org/',
    'http://example.org.evil.net/',
    'http://evil-example.org/',
  ]
  other.push('https://ports.example.org/', 'http://xcdn.example.org/', 'http://example.org./', 'http://label-studio/')
  for (const url of other) {
    const error = refused(() => hosts.check(new URL(url)))
    assert.equal([error.status, error.code], [403, 'ERR_FORBIDDEN'], url)
    assert.match(error.message, `photos are not fetched from the host ${new URL(url).host}`)
    assert.match(error.remedy as string, '--remote-host')
  }
})

test('no hosts are allowed by default', () => {
  assert.match(refused(() => new AllowedHosts({}).check(new URL('https://example.org/a.jpg'))).message, 'the host example.org')
})

test('other schemes, and names and passwords, are refused without showing them', () => {
  const hosts = new AllowedHosts({ remoteHosts: ['example.org'] })
  for (const url of [
    'file:///etc/passwd',
    'ftp://example.org/a',
    'gopher://example.org/',
    'blob:http://example.org/1',
    'data:image/png;base64,',
  ])
    assert.match(refused(() => hosts.check(new URL(url))).message, `begins with ${new URL(url).protocol}`)
  const { message } = refused(() => hosts.check(new URL('https://user:secret@example.org/a.jpg?token=secret')))
  assert.is(message, "the photo's URL https://example.org/a.jpg has a user name or a password")
})

test('other ways to write 127.0.0.1 are the same host, which is not in the list', () => {
  const hosts = new AllowedHosts({ remoteHosts: ['example.org'] })
  for (const host of ['2130706433', '0x7f000001', '0177.0.0.1', '127.1', '127.0.0.1', '①②⑦.⓪.⓪.①'])
    assert.match(refused(() => hosts.check(new URL(`http://${host}/`))).message, 'from the host 127.0.0.1', host)
})

test('a list with something that is not a host is refused', () => {
  for (const host of [
    '',
    '*',
    '*.',
    'https://example.org',
    'example.org/photos',
    'a b',
    'example.org:port',
    'user@example.org',
    '*.*.org',
  ])
    assert.throws(
      () => new AllowedHosts({ remoteHosts: [host] }),
      /remoteHosts has .*; expected a host such as 'example.org'/,
      host,
    )
  assert.throws(() => new AllowedHosts({ privateHosts: ['10.0.0.0/8'] }), /privateHosts has '10.0.0.0\/8'/)
})

test('a URL is shown without a password, a signature, and what is over 200 characters of its path', () => {
  const path = `/${'x'.repeat(199)}`
  assert.is(shownUrl(new URL(`https://user:secret@photos.test:81${path}?signature=secret#part`)), `https://photos.test:81${path}`)
  assert.is(shownUrl(new URL(`http://photos.test${path}y`)), `http://photos.test${path}…`)
})

test('what is refused is told with what else can be done, for photos and for callbacks', () => {
  const told = (url: string, ...[options, purpose]: ConstructorParameters<typeof AllowedHosts>) =>
    outcomeOf(() => new AllowedHosts(options, purpose).check(new URL(url)))
  const url = 'https://h.test:81/a.jpg'
  assert.is(
    told(url, {}),
    '403 | ERR_FORBIDDEN | photos are not fetched from the host h.test:81 | send the photo itself, or start the server with a list of hosts: ' +
      'clip-es serve --remote-host HOST',
  )
  assert.is(
    told(url, { remoteHosts: ['other.test'] }),
    '403 | ERR_FORBIDDEN | photos are not fetched from the host h.test:81 | send the photo itself, or start the server with the host in its list: ' +
      'clip-es serve --remote-host HOST',
  )
  assert.is(
    told(url, {}, forCallbacks),
    '403 | ERR_FORBIDDEN | callbacks are not sent to the host h.test:81 | leave callback out and ask for the state, or start the server with a list ' +
      'of hosts: clip-es serve --callback-host HOST',
  )
  assert.is(
    told('ftp://h.test/', {}, forCallbacks),
    "403 | ERR_FORBIDDEN | the callback's URL begins with ftp: | give a URL that begins with https: or http:",
  )
  for (const user of ['u', 'u:p', ':p'])
    assert.is(
      told(`https://${user}@h.test/`, { remoteHosts: ['h.test'] }),
      "403 | ERR_FORBIDDEN | the photo's URL https://h.test/ has a user name or a password | give a URL without them",
    )
  for (const [options, name] of [
    [{ remoteHosts: ['a b'] }, 'callbackHosts'],
    [{ privateHosts: ['a b'] }, 'privateCallbackHosts'],
  ] as const)
    assert.is(
      outcomeOf(() => new AllowedHosts(options, forCallbacks)),
      `ERR_INVALID_ARG | ${name} has 'a b'; expected a host such as 'example.org', '*.example.org' or 'example.org:8443'`,
    )
  for (const [port, allowed] of [
    [':99999', true],
    [':100000', false],
  ] as const)
    assert.is(outcomeOf(() => new AllowedHosts({ remoteHosts: [`h.test${port}`] })).startsWith('let through'), allowed)
  const both = new AllowedHosts({ remoteHosts: ['h.test'], privateHosts: ['h.test'] })
  assert.is(both.check(new URL('http://h.test/')).mayBePrivate, true, 'the private list comes first')
  assert.is(
    outcomeOf(() => new AllowedHosts({ remoteHosts: ['h.test:80'] }).check(new URL('http://h.test/'))),
    'let through',
  )
  assert.match(
    outcomeOf(() => new AllowedHosts({ remoteHosts: ['h.test:80'] }).check(new URL('https://h.test/'))),
    /^403/,
  )
  assert.match(
    outcomeOf(() => new AllowedHosts({ remoteHosts: ['h.test:443'] }).check(new URL('http://h.test/'))),
    /^403/,
  )
})

test('a URL that is none is shown up to 200 characters', () => {
  const bad = (text: string, base?: URL) => outcomeOf(() => parseUrl(text, 'photo', base)).replace(/\([^)]*\)/, '(why)')
  const remedy = 'give a URL such as https://example.org/photo'
  const long = 'x'.repeat(200)
  assert.is(bad(long), `400 | ERR_BAD_REQUEST | the photo '${long}' is not a URL (why) | ${remedy}`)
  assert.is(bad(`${long}y`), `400 | ERR_BAD_REQUEST | the photo '${long}…' is not a URL (why) | ${remedy}`)
  assert.is(
    bad('http://[x]/', new URL('https://h.test/a')),
    `400 | ERR_BAD_REQUEST | the photo https://h.test/a redirects to 'http://[x]/', which is not a URL (why) | ${remedy}`,
  )
})

test('the first and the last address of each range that is not public, and their neighbours', () => {
  for (const [first, last, before, after] of [
    ['192.0.0.0', '192.0.0.255', '191.255.255.255', '192.0.1.0'],
    ['192.0.2.0', '192.0.2.255', '192.0.1.255', '192.0.3.0'],
    ['192.88.99.0', '192.88.99.255', '192.88.98.255', '192.88.100.0'],
    ['198.18.0.0', '198.19.255.255', '198.17.255.255', '198.20.0.0'],
    ['198.51.100.0', '198.51.100.255', '198.51.99.255', '198.51.101.0'],
    ['203.0.113.0', '203.0.113.255', '203.0.112.255', '203.0.114.0'],
    ['168.63.129.16', '168.63.129.16', '168.63.129.15', '168.63.129.17'],
    ['0.0.0.0', '0.255.255.255', '1.0.0.0', '1.0.0.0'],
    ['224.0.0.0', '255.255.255.255', '223.255.255.255', '223.255.255.255'],
    ['2001::', '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff', '2000:ffff:ffff::', '2001:200::'],
    ['2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', '2001:db7:ffff::', '2001:db9::'],
    ['2002::', '2002:ffff:ffff::', '2001:ffff:ffff::', '2003::'],
    ['3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff', '3ffe:ffff::', '3fff:1000::'],
    ['4000::', '1fff:ffff::', '2000::', '3fff:ffff:ffff::'],
  ] as const) {
    for (const address of [first, last]) assert.is(isPublicAddress(address), false, address)
    for (const address of [before, after]) assert.is(isPublicAddress(address), true, address)
  }
})

test.run()
