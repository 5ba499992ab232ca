import { BlockList, isIPv4 } from 'node:net'

// Which addresses belong to hosts of the public internet: IANA's registries of special-purpose addresses, of which everything else is refused.

const special4: readonly [network: string, prefix: number, what: string][] = [
  ['0.0.0.0', 8, 'this network'],
  ['10.0.0.0', 8, 'private'],
  ['100.64.0.0', 10, 'shared by a provider, and the metadata of some clouds'],
  ['127.0.0.0', 8, 'loopback'],
  ['168.63.129.16', 32, 'the metadata of a cloud'],
  ['169.254.0.0', 16, 'link-local, and the metadata of clouds'],
  ['172.16.0.0', 12, 'private'],
  ['192.0.0.0', 24, 'for protocols'],
  ['192.0.2.0', 24, 'for documents'],
  ['192.88.99.0', 24, 'relays of IPv6'],
  ['192.168.0.0', 16, 'private'],
  ['198.18.0.0', 15, 'for benchmarks'],
  ['198.51.100.0', 24, 'for documents'],
  ['203.0.113.0', 24, 'for documents'],
  ['224.0.0.0', 4, 'multicast'],
  ['240.0.0.0', 4, 'reserved, and broadcast'],
]

/** Within 2000::/3, outside of which no IPv6 address is public: mapped IPv4 (::ffff:0:0/96) and NAT64 addresses are not. */
const special6: readonly [network: string, prefix: number, what: string][] = [
  ['2001::', 23, 'for protocols, and Teredo tunnels to IPv4'],
  ['2001:db8::', 32, 'for documents'],
  ['2002::', 16, '6to4 tunnels to IPv4'],
  ['3fff::', 20, 'for documents'],
]

const refused4 = new BlockList()
for (const [network, prefix] of special4) refused4.addSubnet(network, prefix, 'ipv4')
const refused6 = new BlockList()
for (const [network, prefix] of special6) refused6.addSubnet(network, prefix, 'ipv6')
const unicast6 = new BlockList()
unicast6.addSubnet('2000::', 3, 'ipv6')

/** Whether an IPv4 or IPv6 address is one of the public internet: not private, loopback, link-local, multicast, mapped or reserved. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !refused4.check(address, 'ipv4')
  return unicast6.check(address, 'ipv6') && !refused6.check(address, 'ipv6')
}
