/**
 * A scanner by BuildKit's protocol, made of busybox: it lists the files of what it is shown as an SPDX document.
 * `BUILDKIT_SCAN_DO` makes it do something else: `fail`, `nothing`, `text`, `other`, `folder`, `large`.
 */
import { busyboxImage, file } from './base-images.ts';
import type { ImageSpec } from './image-files.ts';

const program = `set -e
head='{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document"'
case "$BUILDKIT_SCAN_DO" in
  fail) echo "the scanner cannot go on"; exit 3 ;;
  nothing) exit 0 ;;
  text) echo text > "$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"; exit 0 ;;
  other) echo '{"predicateType":"x","predicate":{}}' > "$BUILDKIT_SCAN_DESTINATION/a.json"; exit 0 ;;
  folder) mkdir "$BUILDKIT_SCAN_DESTINATION/sub"; exit 0 ;;
  large) truncate -s 41M "$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"; exit 0 ;;
esac
if touch "$BUILDKIT_SCAN_SOURCE/written" 2>/dev/null && [ -z "$BUILDKIT_SCAN_COPIES" ]; then echo "not read-only"; exit 4; fi
touch /tmp/scratch
scan() {
  files=$(cd "$1" && find . -type f | sort | while read -r name; do printf '%s{"fileName":"%s"}' "$comma" "$name"; comma=,; done)
  info='"creationInfo":{"creators":["Tool: test"]}'
  printf '%s,"predicate":{"spdxVersion":"SPDX-2.3","name":"%s",%s,"files":[%s]}}' "$head" "$2" "$info" "$files" > "$BUILDKIT_SCAN_DESTINATION/$2.spdx.json"
}
scan "$BUILDKIT_SCAN_SOURCE" "$(basename "$BUILDKIT_SCAN_SOURCE")"
[ -z "$BUILDKIT_SCAN_SOURCE_EXTRAS" ] || for extra in "$BUILDKIT_SCAN_SOURCE_EXTRAS"/*; do scan "$extra" "$(basename "$extra")"; done
echo "scanned as $(id -u) in $PWD"
`;

export function scannerImage(): ImageSpec {
  const { layers } = busyboxImage();
  return {
    name: 'scanner',
    layers: [...layers, [file('scan', program)]],
    config: { Entrypoint: ['/bin/sh'], Cmd: ['/scan'], WorkingDir: '/var', User: 'app' },
  };
}
