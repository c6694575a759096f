export { type LayerIndex, parseLayerIndex, readLayerIndex } from './layer-index.ts';
export { mergedTree, readRange, type TreeLayer } from './merged-tree.ts';
