#!/bin/sh
# Prints the greetings and how many they are.
set -eu
cat "$1"
echo "($(cat count.txt) greetings, from $(id -un))"
