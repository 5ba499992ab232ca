// Photos by URL: from which hosts and addresses they may come.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isPublicAddress } from '../../server/src/remote/addresses.js'
import { AllowedHosts, shownUrl } from '../../server/src/remote/hosts.js'
import { refused } from './remote_support.js'

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

test.run()
