// On the CPU a device's memory is the host's memory.
#pragma once
#include "cam/last_block.h"
#include "core/maps.h"
#include "core/memory.h"

namespace clip_es::cpu {

template <class T>
HostSpan<T> on_host(const DeviceSpan<T>& span) {
  return {DeviceAccess::address(span), span.size()};
}
inline HostMaps on_host(const DeviceMaps& maps) { return {on_host(maps.data), maps.labels, maps.grid}; }
inline HostLastBlock on_host(const DeviceLastBlock& block) {
  return convert_last_block<HostSpan<float>>(block, [](const DeviceSpan<float>& span) { return on_host(span); });
}

template <class T>
DeviceSpan<T> on_device(HostSpan<T> span) {
  return DeviceAccess::span(span.data(), span.size());
}

}  // namespace clip_es::cpu
