#!/bin/sh
# Draws a timeline that a cluster scenario has written, as SVG: picture.sh CSV >SVG
# Backlog above, replicas below, as steps over the seconds of the run. Colours suit light and dark.
set -eu

awk -F , '
function x(second) { return left + second * width / seconds }
function y(panel, value) { return top[panel] + height[panel] * (1 - value / most[panel]) }
# The line of one panel: a value holds until the next one.
function steps(panel, from,    i, path) {
    path = sprintf("M%.1f %.1f", x(at[1]), y(panel, from[1]))
    for (i = 2; i <= rows; i++)
        path = path sprintf("H%.1fV%.1f", x(at[i]), y(panel, from[i]))
    return path
}
function panel(name, from,    value) {
    for (value = 0; value <= most[name]; value += every[name]) {
        printf "<path class=\"grid\" d=\"M%d %.1fH%d\"/>\n", left, y(name, value), left + width
        printf "<text class=\"end\" x=\"%d\" y=\"%.1f\">%d</text>\n", left - 8, y(name, value) + 4, value
    }
    printf "<text class=\"name %s\" x=\"%d\" y=\"%.1f\">%s</text>\n", name, left, top[name] - 10, title[name]
    printf "<path class=\"line %s\" d=\"%s\"/>\n", name, steps(name, from)
}
NR > 1 {
    rows++
    at[rows] = $1; backlog[rows] = $2; replicas[rows] = $4
    if ($2 > most["backlog"]) most["backlog"] = $2
    if ($4 > most["replicas"]) most["replicas"] = $4
}
END {
    if (rows < 2) { print "no timeline" >"/dev/stderr"; exit 1 }
    left = 50; width = 690
    seconds = at[rows]
    top["backlog"] = 34; height["backlog"] = 120; title["backlog"] = "jobs in the list"
    top["replicas"] = 200; height["replicas"] = 96; title["replicas"] = "replicas of the Deployment"
    every["backlog"] = 10; every["replicas"] = 2
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 340\" role=\"img\" aria-label=\"Jobs in a list, and replicas that follow them from 0 to " most["replicas"] " and back, over " int(seconds) " seconds\">"
    print "<style>"
    print "text { font: 13px sans-serif; fill: #57606a } .end { text-anchor: end } .middle { text-anchor: middle }"
    print ".grid { stroke: #8b949e; stroke-opacity: 0.35 } .line { fill: none; stroke-width: 2.5 }"
    print ".line.backlog { stroke: #bc4c00 } .name.backlog { fill: #bc4c00 }"
    print ".line.replicas { stroke: #0969da } .name.replicas { fill: #0969da }"
    print "@media (prefers-color-scheme: dark) {"
    print "text { fill: #9198a1 }"
    print ".line.backlog { stroke: #f0883e } .name.backlog { fill: #f0883e }"
    print ".line.replicas { stroke: #58a6ff } .name.replicas { fill: #58a6ff }"
    print "}"
    print "</style>"
    panel("backlog", backlog)
    panel("replicas", replicas)
    for (second = 0; second <= seconds; second += 10)
        printf "<text class=\"middle\" x=\"%.1f\" y=\"316\">%d</text>\n", x(second), second
    printf "<text class=\"end\" x=\"%d\" y=\"334\">seconds</text>\n", left + width
    print "</svg>"
}' "$1"
