# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What a clone of a frozen Windows parent does when it wakes. Runs as an administrator.
#
# guestinfo.hostname  the computer name; it becomes valid with the next start
# guestinfo.ipv4      address of the first card, as 10.0.0.5/24; without it DHCP
# guestinfo.gateway   address of the default router
# guestinfo.dns       addresses of name servers, with commas between them
# guestinfo.restart   TRUE starts the clone again where its computer name has changed

# Lines with "vforge: needs" are looked at in the parent before it is frozen: nothing of them may be missing there.
# vforge: needs Get-NetAdapter Enable-NetAdapter Disable-NetAdapter New-NetIPAddress Rename-Computer

$ErrorActionPreference = 'Stop'
$rpctool = Join-Path $env:ProgramFiles 'VMware\VMware Tools\rpctool.exe'

function Get-Guestinfo([string] $Key) {
    # To Windows PowerShell any line of a program on a standard error that is redirected is an error, which would stop the script
    # at the first key that has no value.
    $ErrorActionPreference = 'Continue'
    # A child of VMFork has it below "fork".
    foreach ($name in "guestinfo.$Key", "guestinfo.fork.$Key") {
        $value = & $rpctool "info-get $name" 2>$null
        if ($LASTEXITCODE -eq 0) { return "$value".Trim() }
    }
    ''
}

# Until its cards are started again a clone answers to the addresses of its parent; then they read the clone's own MACs.
$cards = @(Get-NetAdapter -Physical | Sort-Object -Property InterfaceIndex)
$cards | Disable-NetAdapter -Confirm:$false

Set-ItemProperty -Path 'HKLM:\SOFTWARE\Microsoft\Cryptography' -Name MachineGuid -Value ([guid]::NewGuid().ToString())

$name = Get-Guestinfo 'hostname'
$renamed = $name -and $name -ne $env:COMPUTERNAME
if ($renamed) { Rename-Computer -NewName $name -Force }

# Nobody reaches this clone before its SSH host keys are its own.
$keys = Join-Path $env:ProgramData 'ssh'
if (Test-Path (Join-Path $keys 'ssh_host_*_key')) {
    Remove-Item -Path (Join-Path $keys 'ssh_host_*_key*')
    & (Join-Path $env:WINDIR 'System32\OpenSSH\ssh-keygen.exe') -A | Out-Null
}

$cards | Enable-NetAdapter -Confirm:$false
$first = $cards | Select-Object -First 1

$address = Get-Guestinfo 'ipv4'
if ($first -and $address) {
    $ip, $prefix = ($address -split '/') + '24'
    $gateway = Get-Guestinfo 'gateway'
    $dns = Get-Guestinfo 'dns'
    Set-NetIPInterface -InterfaceIndex $first.InterfaceIndex -AddressFamily IPv4 -Dhcp Disabled
    Get-NetIPAddress -InterfaceIndex $first.InterfaceIndex -AddressFamily IPv4 -ErrorAction SilentlyContinue |
        Remove-NetIPAddress -Confirm:$false
    Get-NetRoute -InterfaceIndex $first.InterfaceIndex -DestinationPrefix '0.0.0.0/0' -ErrorAction SilentlyContinue |
        Remove-NetRoute -Confirm:$false
    $settings = @{ InterfaceIndex = $first.InterfaceIndex; IPAddress = $ip; PrefixLength = [int] @($prefix)[0] }
    if ($gateway) { $settings.DefaultGateway = $gateway }
    New-NetIPAddress @settings | Out-Null
    if ($dns) { Set-DnsClientServerAddress -InterfaceIndex $first.InterfaceIndex -ServerAddresses ($dns -split ',') }
}
elseif ($first) {
    Set-NetIPInterface -InterfaceIndex $first.InterfaceIndex -AddressFamily IPv4 -Dhcp Enabled
    Set-DnsClientServerAddress -InterfaceIndex $first.InterfaceIndex -ResetServerAddresses
    ipconfig.exe /renew | Out-Null
}

Get-Service -Name sshd -ErrorAction SilentlyContinue | Where-Object Status -eq 'Running' | Restart-Service

# Five seconds later, so that the end of this script is reported by then.
if ($renamed -and (Get-Guestinfo 'restart') -eq 'TRUE') { shutdown.exe /r /f /t 5 }
